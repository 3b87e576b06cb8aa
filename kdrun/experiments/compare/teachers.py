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
    """The teacher of an arm's runs; None where they have none, or none is finished.

    Returns:
        name; lessons (how it learnt from domains, null for a task without them); score, the mean over the runs;
        by_domain, as `by_domain` gives it.
    """
    taught = [result["teacher"] for result in arm.results.values() if result["teacher"]]
    if not taught:
        return None
    config = arm.config(1)
    lessons = resolve_domain_strategy(config, registry.get("method", arm.method).target.requires)
    metrics = [teacher["metrics"][split] for teacher in taught]
    return {
        "name": taught[0]["name"],
        "lessons": lessons.value if lessons else None,
        "score": _mean([values[metric] for values in metrics]),
        "by_domain": by_domain(metrics, metric, config.task.domains if config.task.is_by_domain else []),
    }


def by_domain(
    metrics: Sequence[dict[str, float | None]], metric: str, names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation over runs of each domain's score.

    Args:
        metrics: a run's scores on one split, which has `<metric>_<domain>`.
        metric: which.
        names: of the domains; none for a task without.
    """
    made = {}
    for name in names:
        values = [value for run in metrics if (value := run.get(f"{metric}_{name}")) is not None]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        made[name] = {"mean": _mean(values), "sd": sd}
    return made


def shared_teacher(taught: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The teacher of a whole comparison: name and score; a score of null where arms have different ones.

    Args:
        taught: the arms' teachers.
    """
    found = [teacher for teacher in taught if teacher]
    if not found:
        return None
    names, scores = dict.fromkeys(teacher["name"] for teacher in found), [teacher["score"] for teacher in found]
    is_one = len({teacher_key(teacher) for teacher in found}) == 1
    return {"name": ", ".join(names), "score": scores[0] if is_one else None}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; of equal values this value, to the last digit."""
    known = [value for value in values if value is not None]
    return (known[0] if len(set(known)) == 1 else float(np.mean(known))) if known else None
