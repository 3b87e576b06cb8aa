"""Compare the best values of a search with the default ones."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from kdrun.console import Console
from kdrun.data.file_checks import check_run_files
from kdrun.experiments.compare import display
from kdrun.experiments.compare.arms import Arm, load_rows, run_missing
from kdrun.experiments.compare.options import CompareOptions
from kdrun.experiments.compare.record import build_record
from kdrun.experiments.compare.save import save_comparison
from kdrun.experiments.tune.plan import SearchPlan
from kdrun.experiments.tune.standing import best_overrides
from kdrun.formatting import plural
from kdrun.progress import track
from kdrun.reporting.tables.searches import counts_text
from kdrun.storage import hub_offline
from kdrun.storage.search_record import SearchRecord

DEFAULT = "default"


def compare_with_default(
    plan: SearchPlan, record: SearchRecord, seeds: int, margin: float, console: Console, log_console: Console
) -> tuple[Path, bool]:
    """Run the default and the best values over seeds that the search has not used, and print the verdict.

    Args:
        plan: of the search.
        record: of the search, with a finished trial.
        seeds: number of seeds.
        margin: differences within ± this count as a tie.
        console: for the verdict.
        log_console: for the progress.

    Returns:
        The folder of the comparison, and whether all its runs finished.
    """
    started, best = time.perf_counter(), best_overrides(record)
    assert best is not None
    method, number_of = plan.config.method.name, len(record["trials"])
    arms = [
        Arm(DEFAULT, method, list(plan.overrides)),
        Arm(f"tuned ({plural(number_of, 'trial')})", method, [*plan.overrides, *best]),
    ]
    fresh = [plan.seed + i for i in range(1, seeds + 1)]
    check_run_files(plan.config)
    with hub_offline.offline_mode(plan.config.offline), track("reading the data"):
        data = load_rows(arms)
    display.print_header(arms, fresh, data, log_console)
    try:
        run_missing(arms, fresh, log_console)
    except KeyboardInterrupt:
        console.error("stopped; repeat the command to resume")
        raise
    options = CompareOptions(method=[method], baselines=[], seeds=seeds, margin=margin)
    with track("computing the verdict"):
        comparison = build_record(arms, fresh, options, plan.config, data, plan.command or shlex.join(plan.overrides))
    comparison["search"] = search_facts(plan, record, arms)
    comparison["seconds"] = round(time.perf_counter() - started, 2)
    return save_comparison(comparison, plan.config, console), not any(arm.failed for arm in arms)


def search_facts(plan: SearchPlan, record: SearchRecord, arms: list[Arm]) -> dict[str, Any]:
    """Facts of the search behind an arm, and the scores on rows that the search did not choose by."""
    task = plan.config.task
    others = [*(split for split in task.dev_splits if split != plan.split), *plan.config.evaluation.extra]
    return {
        "name": plan.name,
        "trials": len(record["trials"]),
        "states": counts_text(record),
        "seed": plan.seed,
        "split": plan.split,
        "metric": plan.metric,
        "values": next(trial["values"] for trial in record["trials"] if trial["number"] == record["best"]),
        "unseen": [
            {"split": name, "scores": {arm.name: _mean_sd(arm, name, plan.metric) for arm in arms}} for name in others
        ],
    }


def _mean_sd(arm: Arm, split: str, metric: str) -> dict[str, float | None]:
    """Mean and standard deviation of an arm's scores on a split; None where a score is undefined."""
    scores = [result["student"]["metrics"][split][metric] for result in arm.results.values()]
    defined = [score for score in scores if score is not None]
    if not scores or len(defined) < len(scores):
        return {"mean": None, "sd": None}
    return {"mean": fmean(defined), "sd": stdev(defined) if len(defined) > 1 else None}
