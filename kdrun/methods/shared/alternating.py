"""The cycle of methods whose generator and student train in turn."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.methods.phases import Phase, ScheduleSpan, Turn
from kdrun.methods.shared.generated_text_settings import GeneratedTextSettings

TRAIN, WARM_START = "train", "warm_start"
"""Names of the phases."""


@dataclass
class AlternatingSettings(GeneratedTextSettings):
    """Settings of the cycle; a method's own settings inherit them, with the defaults of MATE-KD."""

    mask_rate: float = setting(0.3, "ρ: share of the free tokens that are masked", gt=0, le=1)
    gumbel_temperature: float = setting(1.0, "τ_g of the Gumbel-softmax", gt=0)
    generator_steps_per_cycle: int = setting(10, "optimizer steps of the generator in a cycle", gt=0)
    student_steps_per_cycle: int = setting(100, "optimizer steps of the student in a cycle", gt=0)
    schedule_over: ScheduleSpan = setting(
        ScheduleSpan.own_steps, "the steps that learning rates decay over: the role's own, or those of both roles"
    )
    generator_optim: OptimizerConfig = setting(
        OptimizerConfig(lr=5e-7, warmup_ratio=0.0, max_grad_norm=5.0),
        "optimizer of the generator; its steps and batches follow from the student's",
    )


@dataclass
class AdversarialTextSettings(AlternatingSettings):
    """Settings of the cycle of methods whose generator fills masked tokens."""

    candidates: int = setting(
        1, "texts generated per row; the student learns the one on which it disagrees most with the teacher", ge=1
    )


def alternating_phases(config: AlternatingSettings, optim: OptimConfig, warm_start_steps: int = 0) -> list[Phase]:
    """Phases of the cycle: the generator's turn, then the student's, repeated on the whole budget.

    Args:
        config: the method's settings.
        optim: the run's.
        warm_start_steps: steps of the generator alone before the first cycle, which the student does not train in.
    """
    turns = (Turn("generator", config.generator_steps_per_cycle), Turn("student", config.student_steps_per_cycle))
    cycle = Phase.from_budget(TRAIN, turns, optim, schedule_over=config.schedule_over)
    if not warm_start_steps:
        return [cycle]
    return [Phase.from_steps(WARM_START, (Turn("generator"),), optim, warm_start_steps, evaluated=False), cycle]


def alternating_optimizers(config: AlternatingSettings, optim: OptimConfig) -> dict[str, OptimizerConfig]:
    """Optimizers of the cycle: the run's for the student, `generator_optim` for the generator."""
    return {"student": optim, "generator": config.generator_optim}
