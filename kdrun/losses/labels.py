"""Losses on labels, losses per token, default losses of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kdrun.lazy import lazy_module
from kdrun.losses.divergences import logit_mse
from kdrun.losses.inputs import at_least_fp32, check_same_shape

if TYPE_CHECKING:
    import torch.nn.functional as F
    from torch import Tensor
else:
    F = lazy_module("torch.nn.functional")

IGNORE_INDEX = -100
"""Label of positions without a target token, as in transformers and torch."""


def hard_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with class indices: −log softmax(logits)[label].

    Args:
        logits: [batch, classes].
        labels: class indices [batch], int64.

    Returns:
        Nats, [batch].

    Raises:
        ValueError: the shapes do not match.
    """
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"hard_cross_entropy: logits {list(logits.shape)} and labels {list(labels.shape)} do not match"
        )
    return F.cross_entropy(at_least_fp32(logits), labels, reduction="none")


def score_mse(scores: Tensor, labels: Tensor) -> Tensor:
    """Squared error of a regression head: (score − label)².

    Args:
        scores: [batch, 1].
        labels: [batch].

    Returns:
        [batch].

    Raises:
        ValueError: the shapes do not match.
    """
    return logit_mse(scores, at_least_fp32(labels).unsqueeze(-1))


def token_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with the tokens of a text, averaged over its tokens.

    (1/n) · Σ_i −log softmax(logits_i)[label_i] over the n positions whose label is not −100. A long text has the same
    weight as a short one, and padding has none.

    Args:
        logits: [batch, length, vocabulary].
        labels: token ids [batch, length], int64; −100 for padding.

    Returns:
        Nats per token, [batch]; 0 for a row without tokens.

    Raises:
        ValueError: the shapes do not match.
    """
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"token_cross_entropy: logits {list(logits.shape)} and labels {list(labels.shape)} do not match"
        )
    present = labels != IGNORE_INDEX
    return _masked_mean(F.cross_entropy(at_least_fp32(logits[present]), labels[present], reduction="none"), present)


def per_token(loss: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Apply a registered loss to every token of a text, and average over the tokens.

    Args:
        loss: takes logits [..., vocabulary] of student and teacher.

    Returns:
        A loss of logits [batch, length, vocabulary], in nats per token, [batch]. The teacher's logits mark padding:
        they are NaN there, so that a loss that ignores padding is NaN too.
    """

    def averaged(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        check_same_shape(student, teacher, "per_token")
        present = ~teacher[..., 0].isnan()
        return _masked_mean(loss(student[present], teacher[present], temperature), present)

    return averaged


def _masked_mean(values: Tensor, present: Tensor) -> Tensor:
    """Mean per row of values [tokens], which belong to the true positions of `present` [batch, length] in order."""
    filled = values.new_zeros(present.shape).masked_scatter(present, values)
    return filled.sum(dim=-1) / present.sum(dim=-1).clamp(min=1)


def default_loss(name: str | None, is_regression: bool) -> str:
    """Name of the run's distillation loss: the given one, else kl for classes and logit_mse for a score."""
    return name or ("logit_mse" if is_regression else "kl")


def hard_loss(is_regression: bool) -> Callable[[Any, Any], Tensor]:
    """Loss on gold labels: squared error for a score, cross-entropy for classes."""
    return score_mse if is_regression else hard_cross_entropy
