"""Teachers of a comparison and their scores by domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kdrun import registry
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.experiments.compare.arms import Arm
from kdrun.reporting.tables.comparisons import teacher_key


def teacher_of_arm(arm: Arm, split: str, metric: str) -> dict[str, Any] | None:
    """The teacher of an arm's runs; None for a method without a teacher, or without finished runs.

    Returns:
        `name`; `lessons`, its domain strategy, None for a task without domains; `score`, the mean over the runs;
        `by_domain`, the result of `scores_by_domain`.
    """
    teachers = [result["teacher"] for result in arm.results.values() if result["teacher"]]
    if not teachers:
        return None
    config = arm.config(1)
    strategy = resolve_domain_strategy(config, registry.get("method", arm.method).target.requires)
    metrics = [teacher["metrics"][split] for teacher in teachers]
    return {
        "name": teachers[0]["name"],
        "lessons": strategy.value if strategy else None,
        "score": _mean_over_runs([values[metric] for values in metrics]),
        "by_domain": scores_by_domain(metrics, metric, config.task.domains if config.task.is_by_domain else []),
    }


def scores_by_domain(
    metrics: Sequence[dict[str, float | None]], metric: str, names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation of each domain's score over runs.

    Args:
        metrics: per run, the scores on one split, with a key `<metric>_<domain>` per domain.
        metric: name of the metric.
        names: names of the domains; empty for a task without domains.

    Returns:
        Domain → `mean` and `sd`.
    """
    statistics = {}
    for name in names:
        values = [value for run in metrics if (value := run.get(f"{metric}_{name}")) is not None]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        statistics[name] = {"mean": _mean_over_runs(values), "sd": sd}
    return statistics


def shared_teacher(arm_teachers: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The teacher of a whole comparison: its name, and its score unless the arms have different teachers.

    Args:
        arm_teachers: teacher of each arm; None for an arm without one.
    """
    teachers = [teacher for teacher in arm_teachers if teacher]
    if not teachers:
        return None
    names = dict.fromkeys(teacher["name"] for teacher in teachers)
    is_one = len({teacher_key(teacher) for teacher in teachers}) == 1
    return {"name": ", ".join(names), "score": teachers[0]["score"] if is_one else None}


def _mean_over_runs(values: Sequence[float | None]) -> float | None:
    """The mean of the defined values; None if there are none.

    Equal values give exactly this value: rounding must not make two teachers out of one.
    """
    defined = [value for value in values if value is not None]
    if len(set(defined)) == 1:
        return defined[0]
    return float(np.mean(defined)) if defined else None
