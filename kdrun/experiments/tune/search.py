"""Run the trials of a search; several processes may share them."""

from __future__ import annotations

import json
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from kdrun import signals
from kdrun.console import Console, QuietConsole
from kdrun.errors import DataError
from kdrun.experiments.tune import study as journal
from kdrun.experiments.tune.plan import SearchPlan
from kdrun.experiments.tune.standing import best_trial, unended
from kdrun.experiments.tune.study import Study, is_default, overrides_of
from kdrun.experiments.tune.trial import Outcome, run_trial
from kdrun.formatting import duration, first_line, percent
from kdrun.runs.provenance import code_digest
from kdrun.storage import claims
from kdrun.storage.files import make_folder, write_atomic
from kdrun.storage.search_record import SEARCH, SearchRecord, TrialRecord, read_search
from kdrun.storage.serialization import to_plain
from kdrun.version import __version__

NOT_ENDED = "the search has not ended"
"""Why a search in progress has no importances."""
STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def run_search(plan: SearchPlan, console: Console) -> SearchRecord:
    """Run the trials that are missing, and resume those of processes that were killed.

    A search ends when it has as many trials as planned. Other processes may work on it at the same time: then trials
    of theirs may still run when this function returns.

    Args:
        plan: of the search.
        console: for a line per trial.

    Returns:
        The record, as in search.json.

    Raises:
        KeyboardInterrupt: a signal arrived; the trial was saved, and the next call resumes it.
    """
    make_folder(plan.folder, Path(plan.config.output_dir))
    study = Study(plan.folder, plan.space, plan.seed, plan.prune)
    record = write_record(plan, study)
    quiet = console if isinstance(console, QuietConsole) else QuietConsole(console.rich)
    with signals.handle_signals():
        while (trial := study.next_trial(plan.trials)) is not None:
            values = " ".join(overrides_of(plan.space, trial)) or "the default values"
            console.print(f"trial {trial.number + 1} of {plan.trials}: {values}")
            try:
                outcome = run_trial(plan, study, trial, quiet)
                study.tell(trial, outcome.state, outcome.score, outcome.facts)
            finally:
                study.release(trial.number)
            record = write_record(plan, study)
            console.print(f"trial {trial.number + 1}: {_outcome_text(plan, outcome)}; {_standing(record)}")
    return record


def _outcome_text(plan: SearchPlan, outcome: Outcome) -> str:
    repeats = outcome.facts.get(journal.REPEATS)
    equal = f", the values of trial {repeats + 1}" if repeats is not None else ""
    if outcome.state is not TrialState.COMPLETE:
        reason = first_line(outcome.facts[journal.ERROR])
        return f"{reason}{equal}" if outcome.state is TrialState.PRUNED else f"failed: {reason}{equal}"
    seconds = outcome.facts.get(journal.SECONDS)
    time = f", {duration(seconds)}" if seconds is not None and not equal else ""
    return f"{plan.split} {plan.metric} {percent(outcome.score)}{time}{equal}"


def _standing(record: SearchRecord) -> str:
    """The best trial so far and the number of trials that ended."""
    ended, best = len(record["trials"]) - len(unended(record)), best_trial(record)
    text = f"best {percent(best['score'])} (trial {best['number']})" if best is not None else "none finished yet"
    return f"{text}, {ended} of {record['trials_requested']} trials ended"


def finish_record(plan: SearchPlan, comparison: Path | None) -> SearchRecord:
    """Add the importances of the keys and the comparison with the default to search.json, and return its content.

    Args:
        plan: of a search without further trials.
        comparison: folder of the comparison; None without one.
    """
    study = Study(plan.folder, plan.space, plan.seed, plan.prune)
    return write_record(plan, study, study.importances(), comparison)


def write_record(
    plan: SearchPlan,
    study: Study,
    importances: tuple[dict[str, float] | None, str] = (None, NOT_ENDED),
    comparison: Path | None = None,
) -> SearchRecord:
    """Write search.json from the journal, and return its content.

    Args:
        plan: of the search.
        study: of the search.
        importances: share of each key in the variance of the scores, or None and the reason.
        comparison: folder of the comparison with the default; None keeps the recorded one.
    """
    with claims.claimed(plan.folder / f".{SEARCH}.lock"):
        try:
            before = read_search(plan.folder)
        except DataError:
            before = None
        trials, best = study.trials(), study.best()
        data = None if best is None else best.user_attrs.get(journal.DATA)
        record: SearchRecord = {
            "name": plan.name,
            "kdrun": __version__,
            "code": code_digest(),
            "command": plan.command,
            "method": plan.config.method.name,
            "task": plan.config.task.name,
            "preset": plan.config.preset,
            "data_name": data["name"] if data else None,
            "synthetic": bool(data and data["synthetic"]),
            "overrides": plan.overrides,
            "space": dict(plan.space.texts),
            "seed": plan.seed,
            "prune": plan.prune,
            "trials_requested": max(plan.trials, len(trials)),
            "split": plan.split,
            "metric": plan.metric,
            "trials": [_trial_record(plan, study, trial) for trial in trials],
            "best": None if best is None else best.number + 1,
            "importances": importances[0],
            "no_importances": importances[1],
            "comparison": str(comparison) if comparison else before["comparison"] if before else None,
        }
        write_atomic(plan.folder / SEARCH, json.dumps(to_plain(record), indent=1) + "\n")
    return record


def _trial_record(plan: SearchPlan, study: Study, trial: FrozenTrial) -> TrialRecord:
    attributes = trial.user_attrs
    repeats = attributes.get(journal.REPEATS)
    running = "running" if study.is_owned(trial) else "waiting"
    drawn = set(trial.params) == set(plan.space.ranges)
    values = dict(_pairs(overrides_of(plan.space, trial))) if drawn else {}
    record: TrialRecord = {
        "number": trial.number + 1,
        "state": STATES.get(trial.state, running),
        "score": trial.value if trial.state is TrialState.COMPLETE else None,
        "values": dict(plan.space.defaults) if is_default(trial) else values,
        "cell": attributes.get(journal.CELL),
        "run_dir": attributes.get(journal.FOLDER),
        "seconds": attributes.get(journal.SECONDS),
        "error": attributes.get(journal.ERROR),
        "repeats": None if repeats is None else repeats + 1,
        "evaluations": [[float(share), score] for share, score in sorted(trial.intermediate_values.items())],
    }
    if is_default(trial):
        record["default"] = True
    return record


def _pairs(overrides: list[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (override.partition("=") for override in overrides)]
