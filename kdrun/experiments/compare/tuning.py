"""Tune the arms of a comparison with equal numbers of trials."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdrun.config.overrides import key_of
from kdrun.config.schema import RunConfig
from kdrun.config.task import POOLED
from kdrun.console import Console
from kdrun.errors import ConfigError, DataError, Problem
from kdrun.experiments.compare import run_times
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.sweeps import is_shared
from kdrun.experiments.tune.plan import RESERVED_KEYS, SearchPlan, check_installed, plan_search
from kdrun.experiments.tune.space_checks import read_space, remaining_space, shipped_spaces
from kdrun.experiments.tune.standing import best_overrides, best_trial, first_trials, has_ended, unended
from kdrun.formatting import duration, join_words, percent, plural
from kdrun.reporting.tables.searches import counts_text
from kdrun.runs.provenance import code_digest
from kdrun.storage.hashing import digest
from kdrun.storage.ledger import LEDGER, read_runs
from kdrun.storage.search_record import SearchRecord, read_search

if TYPE_CHECKING:
    from kdrun.experiments.compare.options import CompareOptions

SEED = 0
"""Seed of all searches and of the runs of their trials; a comparison has the seeds from 1."""
POLL_SECONDS = 5.0
"""Time between two looks at trials of other processes."""


@dataclass
class ArmSearch:
    """The search of an arm.

    Attributes:
        arm: the arm, with the overrides that it has without tuning.
        plan: of the search; None if the command sets all keys of the arm's space.
        fixed: overrides of the arm that took keys out of its space.
        record: of the search once its trials have ended, without the trials of longer searches.
    """

    arm: Arm
    plan: SearchPlan | None
    fixed: list[str]
    record: SearchRecord | None = None


def check_tuning(arms: Sequence[Arm], config: RunConfig, trials: int) -> None:
    """Check that the arms can be tuned, and on rows that are not reported.

    Args:
        arms: of the comparison.
        config: of any of its runs.
        trials: number of trials per arm.

    Raises:
        ConfigError: every problem found.
    """
    problems: list[Problem | str] = []
    task = config.task
    chosen_by, reported = task.dev_splits[0], task.report_split
    if chosen_by == reported or (reported == POOLED and chosen_by == task.task_report_split):
        problems.append(
            Problem(
                "tune",
                str(trials),
                f"tune={trials}: the trials choose by {chosen_by}, and the same rows are reported, so the best of "
                f"{trials} would look too good; report other labeled rows, with evaluation.held_out=2500 and "
                "evaluation.report=held_out, or data.test=FILE, or set tune=0",
            )
        )
    for arm in arms:
        text, _ = remaining_space(arm.method, arm.overrides)
        try:
            if text is not None:
                read_space(text, _run_overrides(arm))
        except ConfigError as error:
            remedy = "set the key on the command line to leave it out of the tuning"
            problems += [f"{arm.name}: {problem}; {remedy}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    check_installed()


def plan_searches(arms: Sequence[Arm], trials: int, command: str) -> list[ArmSearch]:
    """Plan one search per arm, over its method's shipped space without the keys that the command sets.

    The name of a search follows from everything that decides its trials, so a repeated comparison, and another one
    with an equal arm, finds the finished trials.

    Args:
        arms: with equal budgets and the fingerprint of their rows.
        trials: number of trials per arm.
        command: command line of the comparison.

    Raises:
        ConfigError: a space does not suit the runs, or a recorded search has other settings.
    """
    searches = []
    for arm in arms:
        overrides, (text, fixed) = _run_overrides(arm), remaining_space(arm.method, arm.overrides)
        plan = None
        if text is not None:
            base = sorted(override for override in overrides if not is_shared(override))
            identity = digest([base, text, SEED, code_digest(), arm.data_hash])[:8]
            name = f"tune-{arm.method}-{arm.config(1).task.name}-{identity}"
            plan = plan_search(overrides, text, trials=trials, seed=SEED, name=name, command=command)
        searches.append(ArmSearch(arm, plan, fixed))
    return searches


def _run_overrides(arm: Arm) -> list[str]:
    """The overrides of an arm's runs without those that a search sets, such as `retry`."""
    return [override for override in arm.overrides if key_of(override) not in RESERVED_KEYS]


def tune_arms(
    arms: Sequence[Arm],
    settings: CompareOptions,
    command: str,
    launcher: Sequence[str],
    console: Console,
    sleep: Callable[[float], None] = time.sleep,
) -> list[ArmSearch]:
    """Run the trials of all arms, and add the best values to the overrides of each arm.

    Args:
        arms: of the comparison, before their first run; their overrides are extended.
        settings: options of the comparison.
        command: its command line.
        launcher: overrides of a launcher, which runs only the seeds.
        console: where to print.
        sleep: waits for trials of other processes.

    Returns:
        The searches of the arms; none without `tune`.

    Raises:
        KeyboardInterrupt: a signal arrived; the repeated command resumes.
    """
    if not settings.tune:
        return []
    searches = plan_searches(arms, settings.tune, command)
    _print_plan(searches, settings.tune, launcher, console)
    for number, search in enumerate(searches, start=1):
        if search.plan is not None:
            total, unknown = _seconds_left(searches)
            left = "" if unknown or not total else f"; about {duration(total)} of tuning left"
            console.print(f"tuning {search.arm.name} ({number} of {len(searches)}): search {search.plan.name}{left}")
            search.record = _run(search.plan, console, sleep)
            search.arm.overrides += best_overrides(search.record) or []
    _print_result(searches, console)
    return searches


def _run(plan: SearchPlan, console: Console, sleep: Callable[[float], None]) -> SearchRecord:
    """Run the missing trials of a search, and wait for those of other processes."""
    from kdrun.experiments.tune import display, search

    before = _recorded(plan)
    if before is not None and has_ended(before):
        console.print(f"reused: {counts_text(before)}; {plan.folder}")
        return before
    is_waiting = False
    while True:
        record = first_trials(search.run_search(plan, console), plan.trials)
        if has_ended(record):
            break
        if not is_waiting:
            numbers = ", ".join(str(trial["number"]) for trial in unended(record))
            console.print(f"waits for trial {numbers}, which another process runs")
            is_waiting = True
        sleep(POLL_SECONDS)
    search.finish_record(plan, None)
    display.write_report(plan, console)
    if record["best"] is None:
        error = next((trial["error"] for trial in record["trials"] if trial["error"]), "none was recorded")
        console.warning(f"no trial of {plan.name} finished, so the default values stay; the first error: {error}")
    return record


def _recorded(plan: SearchPlan) -> SearchRecord | None:
    """The record of a search that was started before; None of a new one."""
    try:
        return first_trials(read_search(plan.folder), plan.trials)
    except DataError:
        return None


def _print_plan(searches: Sequence[ArmSearch], trials: int, launcher: Sequence[str], console: Console) -> None:
    """Print which keys each arm tunes, and the time that this will take."""
    plans = [search.plan for search in searches if search.plan is not None]
    facts = []
    for search in searches:
        keys = join_words(list(search.plan.space.ranges)) if search.plan is not None else "nothing to tune"
        common = "" if search.arm.method in shipped_spaces() else f"; no space is shipped for {search.arm.method}"
        fixed = f"; set by the command: {shlex.join(search.fixed)}" if search.fixed else ""
        facts.append((search.arm.name, f"{keys}{common}{fixed}"))
    by = f" by {plans[0].split} {plans[0].metric}" if plans else ""
    title = f"tuning: {plural(trials, 'trial')} per arm{by}, the default values first, seed {SEED}"
    console.key_values(title, facts)
    console.print(_time_text(searches))
    if launcher:
        console.note("the tuning runs in this process; only the runs over the seeds are jobs of the launcher")


def _seconds_left(searches: Sequence[ArmSearch]) -> tuple[float, list[str]]:
    """The time that the missing trials will take, by finished runs that differ in the seed and the tuned keys only.

    Returns:
        Seconds, and the names of arms without such runs, whose time is unknown.
    """
    total, unknown = 0.0, list[str]()
    for search in searches:
        if search.plan is None or search.record is not None:
            continue
        plan = search.plan
        before = _recorded(plan)
        left = plan.trials - (len(before["trials"]) - len(unended(before)) if before else 0)
        runs = read_runs(Path(plan.config.output_dir) / LEDGER)
        seconds = run_times.mean_seconds(runs, plan.config, plan.space.ranges) if left else 0.0
        if seconds is None:
            unknown.append(search.arm.name)
        else:
            total += left * seconds
    return total, unknown


def _time_text(searches: Sequence[ArmSearch]) -> str:
    total, unknown = _seconds_left(searches)
    known = f"time of the tuning: about {duration(total)} by measured times of runs"
    if not unknown:
        return known if total else "time of the tuning: none, all trials have ended"
    no_time = f"no run of {join_words(unknown)} has been measured in this output folder yet"
    return f"{known}, without {join_words(unknown)} ({no_time})" if total else f"time of the tuning: {no_time}"


def _print_result(searches: Sequence[ArmSearch], console: Console) -> None:
    rows = []
    for search in searches:
        facts = arm_facts(search)
        if facts is not None:
            values = shlex.join(f"{key}={value}" for key, value in facts["chosen"].items()) or "the default values"
            rows.append(
                [search.arm.name, percent(facts["default"]), percent(facts["best"]), str(facts["trial"] or ""), values]
            )
    if rows:
        console.table("tuned", ["arm", "default", "best", "trial", "values"], rows)


def arm_facts(search: ArmSearch) -> dict[str, Any] | None:
    """Facts of an arm's search for the record of the comparison; None if the arm has nothing to tune."""
    plan, record = search.plan, search.record
    if plan is None or record is None:
        return None
    best = best_trial(record)
    default = next((trial for trial in record["trials"] if trial.get("default")), None)
    return {
        "search": plan.name,
        "trials": len(record["trials"]),
        "states": counts_text(record),
        "seed": plan.seed,
        "split": plan.split,
        "metric": plan.metric,
        "space": dict(plan.space.texts),
        "fixed": search.fixed,
        "chosen": dict(best["values"]) if best is not None and not best.get("default") else {},
        "trial": None if best is None else best["number"],
        "default": None if default is None else default["score"],
        "best": None if best is None else best["score"],
    }


def add_facts(record: dict[str, Any], searches: Sequence[ArmSearch], trials: int) -> None:
    """Add the number of trials to the record of a comparison, and to each of its arms the facts of its search.

    Args:
        record: of the comparison.
        searches: of its arms; empty without tuning.
        trials: number of trials per arm; 0 without tuning.
    """
    record["tuned"] = trials
    if not trials:
        return
    # the same runs without tuning are another comparison
    record["comparison_id"] = digest([record["comparison_id"], "tuned", trials])[:12]
    facts = {search.arm.name: arm_facts(search) for search in searches}
    for arm in record["arms"]:
        arm["tuning"] = facts[arm["name"]]
