"""Distillation of the rows on which teacher and student disagree."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.methods import Batch, Method, Requirements, StepOutput, Turn, register, setting


@dataclass
class MarginKDConfig:
    """Settings of margin distillation."""

    name: str = setting("margin_kd", "registered method")
    margin: float = setting(0.5, "largest logit difference of a row that is left out", ge=0)
    temperature: float = setting(2.0, "T: softens teacher and student alike", gt=0)


@register("method", "margin_kd", config=MarginKDConfig)
class MarginKD(Method):
    """Minimize over the student:

        L = Σ over rows with max |S(x) − T(x)| > margin of T² · D(T(x)/T, S(x)/T)

    D is the run's loss: KL(teacher ‖ student) by default.

    Cost:
        student: one forward and one backward pass per row.
        teacher: one forward pass per row in all, cached.
    """

    requires = Requirements(teacher_logits=True, labels=False)
    config: MarginKDConfig

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The summed loss of one micro-batch."""
        assert batch.teacher_logits is not None
        assert self.context.loss is not None
        temperature = self.config.temperature
        logits = self.roles["student"](**batch.inputs["student"]).logits
        difference = (logits - batch.teacher_logits).abs().amax(dim=-1)
        divergence = temperature**2 * self.context.loss(logits, batch.teacher_logits, temperature)
        loss = (divergence * (difference > self.config.margin)).sum()
        return StepOutput(loss, len(batch.ids), {"soft": loss.detach()})
