"""Loss on labels and the teacher's logits, for several methods.

It imports without torch, like `kdrun.methods.base`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdrun.config.fields import setting
from kdrun.methods.shared.soft_targets import AnnealingSettings, temperature_at

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.batch import Batch
    from kdrun.methods.base import MethodContext


@dataclass
class LabelsAndLogitsSettings(AnnealingSettings):
    """Settings of the loss, with the defaults of kd; the settings of a method inherit them."""

    temperature: float = setting(2.0, "T: softens teacher and student alike", gt=0)
    hard_weight: float = setting(0.5, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(0.5, "weight of the loss on the teacher's logits", ge=0)


def labels_and_logits_loss(
    context: MethodContext, config: LabelsAndLogitsSettings, batch: Batch, logits: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of kd: hard_weight · hard(S(x), y) + soft_weight · T² · D(T(x)/T, S(x)/T), summed over the rows.

    With `temperature_end` T moves linearly over the steps of the phase.

    Args:
        context: of the method.
        config: settings of the method.
        batch: with labels and the teacher's logits.
        logits: of the student, [batch, outputs].

    Returns:
        The loss, and its terms `hard` and `soft` without their weights, for the log.
    """
    assert batch.teacher_logits is not None
    assert batch.labels is not None
    assert context.loss is not None
    hard = context.hard_loss(logits, batch.labels).sum()
    temperature = temperature_at(config.temperature, config.temperature_end, batch.progress)
    soft = temperature**2 * context.loss(logits, batch.teacher_logits, temperature).sum()
    loss = config.hard_weight * hard + config.soft_weight * soft
    return loss, {"hard": hard.detach(), "soft": soft.detach()}
