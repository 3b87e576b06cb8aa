"""Options of `kdrun compare`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.config.fields import setting


class Until(Enum):
    """When a comparison ends."""

    seeds = "seeds"
    decided = "decided"


@dataclass
class CompareOptions:
    """Options of a comparison, besides the overrides of its runs."""

    method: list[str] = setting([], "methods to compare, e.g. method=kd_augment,mate_kd")
    baselines: list[str] = setting(["finetune", "kd"], "methods to compare them with")
    seeds: int = setting(3, "runs per method: seeds 1 … N; with until=decided before the first look", gt=0)
    until: Until = setting(Until.seeds, "decided: add seeds one by one until each claim is decided")
    max_seeds: int = setting(20, "with until=decided: the largest number of seeds", gt=0)
    tune: int = setting(0, "tuning trials per method over its shipped space, before the seeds run; 0 for none", ge=0)
    margin: float = setting(0.01, "differences within ± this count as a tie, in units of the metric", ge=0)
    metric: str | None = setting(
        None,
        "metric of the comparison: one of task.metrics, or agreement, the share of rows on which a student gives the "
        "teacher's answer, or teacher_kl, the mean KL(teacher ‖ student); null is the task's headline",
    )
    claims: str | None = setting(
        None,
        "claims to decide, each that one arm beats another: 'claims=[mate_kd>kd,mate_kd>finetune]', in quotes because "
        "> redirects the output of a shell; null: every method beats every baseline",
        raw=True,
    )
