"""Fine-tuning on the labels: the control without a teacher."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.methods.base import Method, StepOutput
from kdrun.methods.phases import Turn
from kdrun.registry import register


@dataclass
class FinetuneConfig:
    """Fine-tuning has no settings."""

    name: str = setting("finetune", "registered method")


@register("method", "finetune", config=FinetuneConfig)
class Finetune(Method):
    """Minimize over the student:

        L = hard(S(x), y)

    Cross-entropy for classes, squared error for a score. No teacher.

    Cost:
        student: one forward and one backward pass per row.
    """

    requires = Requirements(teacher=False, extraction=True, multi_label=True)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed hard loss of one micro-batch."""
        assert batch.labels is not None
        logits = self.roles["student"](**batch.inputs["student"]).logits
        loss = self.context.hard_loss(logits, batch.labels).sum()
        return StepOutput(loss, len(batch.ids), {"hard": loss.detach()})
