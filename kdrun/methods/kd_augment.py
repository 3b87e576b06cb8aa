"""KD on text augmented by a frozen masked language model.

The text is masked as in MATE-KD and filled by a frozen masked language model. The difference between the two methods
is the effect of training the adversary.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.methods.base import StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared.generated_text_settings import GeneratedTextSettings
from kdrun.methods.shared.pseudo_text import PseudoTextMethod
from kdrun.registry import register


@dataclass
class KDAugmentConfig(GeneratedTextSettings):
    """Settings of KD on augmented text."""

    name: str = setting("kd_augment", "registered method")
    temperature: float = setting(1.0, "τ: softens teacher and student alike", gt=0)
    hard_weight: float = setting(1 / 3, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(1 / 3, "weight of the divergence on the training text", ge=0)
    pseudo_weight: float = setting(1 / 3, "weight of the divergence on the augmented text", ge=0)
    mask_rate: float = setting(0.3, "ρ: share of the free tokens that are masked", gt=0, le=1)


@register("method", "kd_augment", config=KDAugmentConfig)
class KDAugment(PseudoTextMethod):
    """Minimize, with x′ filled by a frozen masked language model:

        L = hard_weight · hard(S(x), y) + soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′))

    D is the run's loss at temperature τ, times τ². Mask, sampling and weights are those of MATE-KD, so that the two
    methods differ only in the training of the generator.

    Cost:
        student: one forward and one backward pass over two texts per row.
        teacher: one forward pass per row and step on x′; its logits on x are cached.
            With `reuse` N the passes of teacher and generator are up to N times fewer.
        generator: one forward pass per row, its head at masked tokens only.
    """

    requires = Requirements(
        generator=True,
        teacher_logits=True,
        shared_vocabulary=True,
        unlabeled=True,
        inputs=("student", "teacher", "generator"),
        multi_label=True,
    )
    trains_generator = False
    config: KDAugmentConfig

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        c = self.config
        return self.student_step(batch, turn, c.hard_weight, c.soft_weight, c.pseudo_weight)
