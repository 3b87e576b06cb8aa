"""Run a trial of a search as a cell of its sweep."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from kdrun import progress, signals
from kdrun.config import compose
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.errors import RECOVERABLE_ERRORS, BusyError, ClaimLostError
from kdrun.experiments import reuse, sweeps
from kdrun.experiments.sweep_record import Sweep
from kdrun.experiments.tune import study as journal
from kdrun.experiments.tune.plan import SearchPlan
from kdrun.experiments.tune.study import Study, is_default, overrides_of
from kdrun.formatting import percent
from kdrun.runs.provenance import code_digest
from kdrun.storage.ledger import Status
from kdrun.storage.run_result import RESULT, RunResult, read_result

POLL_SECONDS = 1.0
"""Time between two looks at a run of another process that has the same values."""
DEFAULT_LABEL = "default values"
"""Label of the cell of the trial with the default values."""


@dataclass(frozen=True)
class Outcome:
    """The end of a trial.

    Attributes:
        state: finished, pruned or failed.
        score: of a finished trial.
        facts: further attributes of the trial in the journal.
    """

    state: TrialState
    score: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def failure(error: str) -> Outcome:
    """The end of a trial that failed."""
    return Outcome(TrialState.FAIL, facts={journal.ERROR: error})


def run_trial(
    plan: SearchPlan,
    study: Study,
    trial: optuna.Trial,
    console: Console,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Run a trial, resume it, or take the score of an equal run.

    Args:
        plan: of the search.
        study: of the search.
        trial: with its values.
        console: for the run.
        sleep: waits for a run of another process that has the same values.

    Raises:
        KeyboardInterrupt: the run was stopped; it resumes.
        ClaimLostError: another process took over the run.
    """
    reason = trial.user_attrs.get(journal.PRUNED)
    if reason is not None:  # its process was killed after the decision
        return Outcome(TrialState.PRUNED, facts={journal.ERROR: reason})
    overrides = [*plan.trial_overrides, *overrides_of(plan.space, trial)]
    problems = compose.validate_overrides(overrides, multirun=False)
    if problems:
        return failure("; ".join(problems))
    config = compose.to_config(compose.compose([*overrides, f"sweep={plan.name}"]))
    cell = sweeps.make_cell(overrides, config, set(plan.space.ranges))
    if is_default(trial):
        cell = replace(cell, label=DEFAULT_LABEL)
    sweeps.record_cells(Sweep(plan.name, plan.folder, code_digest(), [cell]))
    trial.set_user_attr(journal.CELL, cell.id)
    while True:
        earlier = study.earlier(trial.number, cell.id)
        if earlier is not None and earlier.state is not TrialState.RUNNING:
            return _repeat(trial, earlier)
        existing = reuse.find_run(Path(config.output_dir), reuse.run_key(config))
        is_busy = earlier is not None and study.is_owned(earlier)
        if not is_busy and (existing is None or existing.status is not Status.running):
            try:
                return _run(plan, study, trial, (config, overrides), console)
            except BusyError:
                pass
        sleep(POLL_SECONDS)


def _repeat(trial: optuna.Trial, earlier: FrozenTrial) -> Outcome:
    """The end of a trial with the values of an earlier one: equal runs have equal scores."""
    known = dict(trial.storage.get_trial(trial._trial_id).intermediate_values)
    for share, score in earlier.intermediate_values.items():
        if share not in known:
            trial.report(score, share)
    names = (journal.ERROR, journal.PRUNED, journal.FOLDER, journal.DATA)
    facts = {name: earlier.user_attrs[name] for name in names if name in earlier.user_attrs}
    return Outcome(earlier.state, earlier.value, facts | {journal.REPEATS: earlier.number})


def _run(
    plan: SearchPlan, study: Study, trial: optuna.Trial, run: tuple[RunConfig, list[str]], console: Console
) -> Outcome:
    """Start or resume the run of a trial, or read the result of a finished one."""
    config, overrides = run
    with progress.track("loading PyTorch and transformers"):
        from kdrun.runs import runner

    try:
        remaining = sweeps.resolve_cell(config, console)
        if remaining is not None:
            trial.set_user_attr(journal.FOLDER, str(remaining.run_dir))
            observer = make_observer(plan, trial)
            runner.run(remaining, console, overrides, observer=observer)
        existing = reuse.find_run(Path(config.output_dir), reuse.run_key(config))
    except signals.StopEarly as stop:
        return Outcome(TrialState.PRUNED, facts={journal.ERROR: str(stop)})
    except (BusyError, ClaimLostError):
        raise
    except RECOVERABLE_ERRORS as error:
        return failure(f"{type(error).__name__}: {error}")
    if existing is None or existing.status is not Status.done:
        return failure((existing.error if existing else None) or "its run did not finish")
    return _finished(plan, existing.folder, read_result(existing.folder / RESULT))


def _finished(plan: SearchPlan, folder: Path, result: RunResult) -> Outcome:
    score = result["student"]["metrics"].get(plan.split, {}).get(plan.metric)
    data = {"name": result["data"]["name"], "synthetic": result["data"]["synthetic"]}
    seconds = (result.get("time") or {}).get("total_s")
    facts = {journal.FOLDER: str(folder), journal.SECONDS: seconds, journal.DATA: data}
    if score is None:
        return Outcome(TrialState.FAIL, facts={**facts, journal.ERROR: f"{plan.split} {plan.metric} is undefined"})
    return Outcome(TrialState.COMPLETE, score, facts)


def make_observer(plan: SearchPlan, trial: optuna.Trial) -> Callable[[float, float | None], str | None]:
    """A function that reports the evaluations of a run to the search and says whether to prune the trial.

    Scores are reported at whole percents of the training, so that trials with other numbers of steps compare.

    Args:
        plan: of the search.
        trial: in progress.
    """
    reported = dict(trial.storage.get_trial(trial._trial_id).intermediate_values)

    def observe(share: float, score: float | None) -> str | None:
        step = round(100 * share)
        if score is None or step in reported:
            return None
        reported[step] = score
        trial.report(score, step)
        if share >= 1 or not trial.should_prune():
            return None
        reason = (
            f"pruned at {step} % of the training: {plan.split} {plan.metric} {percent(max(reported.values()))} at best "
            "is below the median of the finished trials"
        )
        trial.set_user_attr(journal.PRUNED, reason)
        return reason

    return observe
