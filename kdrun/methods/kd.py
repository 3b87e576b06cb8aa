"""Knowledge distillation (Hinton et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.methods.base import Method, StepOutput
from kdrun.methods.phases import Turn
from kdrun.registry import register


@dataclass
class KDConfig:
    """Settings of plain knowledge distillation."""

    name: str = setting("kd", "registered method")
    temperature: float = setting(2.0, "T: softens teacher and student alike", gt=0)
    hard_weight: float = setting(0.5, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(0.5, "weight of the loss on the teacher's logits", ge=0)


@register("method", "kd", config=KDConfig)
class KD(Method):
    """Minimize over the student:

        L = hard_weight · hard(S(x), y) + soft_weight · T² · D(T(x)/T, S(x)/T)

    T² keeps the size of the soft gradient when T changes (section 2 of the paper), for all weights. D is the run's
    loss: KL(teacher ‖ student) by default. With `logit_mse` the temperatures cancel, which is the high-temperature
    limit of the same section. For a score, hard and soft losses are squared errors.

    Cost:
        student: one forward and one backward pass per row.
        teacher: one forward pass per row, cached; none during training.
    """

    requires = Requirements(teacher_logits=True, extraction=True, unlabeled=True, multi_label=True)
    config: KDConfig

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Weighted, summed loss of one micro-batch."""
        assert batch.teacher_logits is not None
        assert batch.labels is not None
        assert self.context.loss is not None
        temperature = self.config.temperature
        logits = self.roles["student"](**batch.inputs["student"]).logits
        hard = self.context.hard_loss(logits, batch.labels).sum()
        soft = temperature**2 * self.context.loss(logits, batch.teacher_logits, temperature).sum()
        loss = self.config.hard_weight * hard + self.config.soft_weight * soft
        return StepOutput(loss, len(batch.ids), {"hard": hard.detach(), "soft": soft.detach()})
