"""Fine-tuning: the student learns from the labels alone. The control every distillation is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.method import Batch, Method, Needs, StepOutput
from kdrun.phases import Turn
from kdrun.registry import register
from kdrun.settings import setting


@dataclass
class FinetuneConfig:
    """Fine-tuning has no settings of its own."""

    name: str = setting("finetune", "registered method")


@register("method", "finetune", config=FinetuneConfig)
class Finetune(Method):
    """Minimise over the student:

        L = hard(S(x), y)

    Cross-entropy for classes, squared error for a score. No teacher.

    Cost:
        student: one forward and one backward pass a row.
    """

    needs = Needs(teacher=False, extraction=True)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The summed hard loss of one micro-batch."""
        assert batch.labels is not None
        logits = self.roles["student"](**batch.inputs["student"]).logits
        loss = self.parts.hard_loss(logits, batch.labels).sum()
        return StepOutput(loss, len(batch.ids), {"hard": loss.detach()})
