"""KD on out-of-domain text only: the baseline of ZSKD."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.methods.base import Method, StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared import soft_targets
from kdrun.registry import register


@dataclass
class KDOODConfig(soft_targets.AnnealingSettings):
    """Settings of KD on out-of-domain text."""

    name: str = setting("kd_ood", "registered method")
    temperature: float = setting(1.0, "τ: softens teacher and student alike", gt=0)


@register("method", "kd_ood", config=KDOODConfig)
class KDOOD(Method):
    """Minimize on text x from outside the task, labeled by the teacher only:

        L = τ² · D(T(x), S(x))

    D is the run's loss at temperature τ. The rows are those of the `ood` section: sentences of the corpus in the
    format of the task. The student never sees the training rows or labels of the task. With `temperature_end` τ and τ²
    move linearly over the steps from `temperature`.

    Cost:
        student: one forward and one backward pass per row.
        teacher: one forward pass per row; its logits are cached.
    """

    requires = Requirements(
        labels=False, data_free=True, teacher_logits=True, regression=False, extraction=True, multi_label=True
    )
    config: KDOODConfig

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        assert batch.teacher_logits is not None
        assert self.context.loss is not None
        c = self.config
        temperature = soft_targets.temperature_at(c.temperature, c.temperature_end, batch.progress)
        logits = self.roles["student"](**batch.inputs["student"]).logits
        soft = temperature**2 * self.context.loss(logits, batch.teacher_logits, temperature).sum()
        return StepOutput(soft, len(batch.ids), {"soft": soft.detach()})
