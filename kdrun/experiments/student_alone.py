"""Compare a distilled student with the same student trained without a teacher."""

from __future__ import annotations

from collections.abc import Sequence

from kdrun import registry
from kdrun.config import domains
from kdrun.config.overrides import key_of
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.experiments import reuse
from kdrun.experiments.compare import plan
from kdrun.experiments.compare.arms import run_missing
from kdrun.formatting import percent
from kdrun.storage.run_result import RunResult, headline_score

ALONE = "finetune"
"""Method that trains a student on labels alone."""


def applies(config: RunConfig) -> bool:
    """Whether a run is to be compared: its method distills from a teacher on the task's labeled rows."""
    needs = registry.get("method", config.method.name).target.requires
    is_comparable = needs.teacher and not needs.data_free and not domains.is_per_domain(config.method)
    return config.student_alone and is_comparable and config.sweep is None and not config.dry_run


def train_and_print(config: RunConfig, overrides: Sequence[str], result: RunResult, console: Console) -> None:
    """Train the same student without a teacher, or reuse such a run, and print what distillation adds.

    Args:
        config: of the distilled student.
        overrides: of its command line.
        result: of its run.
        console: for the sentence.

    Raises:
        ConfigError: the overrides do not fit the method `finetune`.
    """
    rest = [override for override in overrides if key_of(override) not in ("method", *plan.RESERVED_KEYS)]
    arm = plan.plan_arms([config.method.name, ALONE], rest)[-1]
    arm.data_hash = reuse.run_key(arm.config(config.seed))[2]
    console.print("the same student without a teacher, for comparison (student_alone=false leaves it out)")
    run_missing([arm], [config.seed], console)
    if config.seed in arm.results:
        headline = result["headline"]
        scores = [headline_score(headline, model) for model in (arm.results[config.seed]["student"], result["student"])]
        teacher = headline_score(headline, result["teacher"])
        console.print(f"{headline['split']} {headline['metric']}: {gain_sentence(scores[0], scores[1], teacher)}")


def gain_sentence(alone: float | None, distilled: float | None, teacher: float | None) -> str:
    """What distillation adds, as one sentence.

    Args:
        alone: score of the student without a teacher; None if undefined, as the others.
        distilled: score of the distilled student.
        teacher: score of the teacher.
    """
    scores = f"student alone {percent(alone)}, distilled {percent(distilled)}, teacher {percent(teacher)}"
    if alone is None or distilled is None or teacher is None:
        return scores
    if teacher <= alone:
        return f"{scores}; the teacher is no better than the student alone, so these scores show no gain"
    if distilled < alone:
        return f"{scores}; distillation makes this student worse"
    return f"{scores}; distillation closes {percent((distilled - alone) / (teacher - alone), 0)} of the gap"
