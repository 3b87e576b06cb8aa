"""KD on text augmented by a frozen masked language model.

The same masked text as MATE-KD's, filled by a masked language model that stays as it is: what an untrained
adversary is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.methods.base import StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared.pseudo_text import PseudoTextMethod
from kdrun.registry import register


@dataclass
class KDAugmentConfig:
    """Settings of KD on augmented text."""

    name: str = setting("kd_augment", "registered method")
    temperature: float = setting(1.0, "τ: softens teacher and student alike", gt=0)
    hard_weight: float = setting(1 / 3, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(1 / 3, "weight of the divergence on the training text", ge=0)
    pseudo_weight: float = setting(1 / 3, "weight of the divergence on the augmented text", ge=0)
    mask_rate: float = setting(0.3, "ρ: share of the free tokens that are masked", gt=0, le=1)


@register("method", "kd_augment", config=KDAugmentConfig)
class KDAugment(PseudoTextMethod):
    """Minimise, with x′ filled by a frozen masked language model:

        L = hard_weight · hard(S(x), y) + soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′))

    D is the run's loss at temperature τ, times τ². Mask, sampling and weights are MATE-KD's, so that the two differ
    in the generator's training alone.

    Cost:
        student: one forward and one backward pass over two texts a row.
        teacher: one forward pass a row and step on x′; its logits on x are kept in the cache.
        generator: one forward pass a row, its head at masked tokens only.
    """

    requires = Requirements(
        generator=True, teacher_logits=True, shared_vocabulary=True, inputs=("student", "teacher", "generator")
    )
    config: KDAugmentConfig

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The summed loss of one micro-batch."""
        c = self.config
        return self.student_step(batch, c.hard_weight, c.soft_weight, c.pseudo_weight)
