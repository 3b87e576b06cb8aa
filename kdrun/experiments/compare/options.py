"""Options of `kdrun compare`."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting


@dataclass
class CompareOptions:
    """Options of a comparison, besides the overrides of its runs."""

    method: list[str] = setting([], "methods to compare, e.g. method=kd_augment,mate_kd")
    baselines: list[str] = setting(["finetune", "kd"], "methods to compare them with")
    seeds: int = setting(3, "runs per method: seeds 1 … N", gt=0)
    tune: int = setting(0, "tuning trials per method over its shipped space, before the seeds run; 0 for none", ge=0)
    margin: float = setting(0.01, "differences within ± this count as a tie, in units of the metric", ge=0)
    metric: str | None = setting(
        None,
        "metric of the comparison: one of task.metrics, or agreement, the share of rows on which a student gives the "
        "teacher's answer; null is the task's headline",
    )
    claims: str | None = setting(
        None,
        "claims to decide, each that one arm beats another: 'claims=[mate_kd>kd,mate_kd>finetune]', in quotes because "
        "> redirects the output of a shell; null: every method beats every baseline",
        raw=True,
    )
