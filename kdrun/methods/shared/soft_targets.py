"""Temperature and row weights of the loss on the teacher's logits.

It imports without torch, like `kdrun.methods.base`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdrun.config.fields import setting
from kdrun.config.task import TaskConfig

if TYPE_CHECKING:
    from torch import Tensor

    from kdrun.data.batch import Batch
    from kdrun.methods.base import MethodContext


@dataclass
class AnnealingSettings:
    """Temperature that changes during training; the settings of a method inherit it, and have `temperature`."""

    temperature_end: float | None = setting(
        None, "T at the end of the training, reached in equal steps from temperature; null keeps it constant", gt=0
    )


@dataclass
class ConfidenceSettings:
    """Weights of rows by the teacher's confidence; the settings of a method inherit it."""

    confidence_weight: float = setting(
        0.0,
        "γ: a row's soft loss has the weight (teacher's probability of the gold label)^γ; 0 is off",
        ge=0,
    )


def temperature_at(temperature: float, end: float | None, progress: float) -> float:
    """Temperature of a step: linear from `temperature` to `end`.

    Args:
        temperature: at the start.
        end: after the last step; None for a constant temperature.
        progress: share of the steps that were taken, from 0 to 1.
    """
    return temperature if end is None else temperature + (end - temperature) * progress


def confidence(context: MethodContext, batch: Batch, exponent: float) -> Tensor:
    """Weight of each row by the teacher's confidence in the gold label: p_T(y | x)^γ, [batch].

    p_T is the teacher's probability at temperature 1: exp(−hard(T(x), y)). For an answer in text it is the geometric
    mean of the probabilities of its tokens, for a label set that of the decisions. A row without a label has weight 1.

    Args:
        context: of the method.
        batch: with labels and the teacher's logits.
        exponent: γ.
    """
    assert batch.labels is not None
    assert batch.teacher_logits is not None
    return (-exponent * context.hard_loss(batch.teacher_logits, batch.labels)).exp()


def confidence_problems(exponent: float, task: TaskConfig) -> list[str]:
    """A weight by confidence for a task whose teacher gives no probabilities."""
    if not exponent or not task.is_regression:
        return []
    return [
        f"method.confidence_weight={exponent} weights rows by a probability, and task={task.name} predicts a score; "
        "remove it"
    ]
