"""Losses on label sets, and on partly labeled rows."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def label_set_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy with gold label sets, averaged over the classes.

    (1/C) · Σ_c −[ y_c · log σ(z_c) + (1 − y_c) · log(1 − σ(z_c)) ]

    Args:
        logits: [batch, classes].
        labels: 1 for each class of the row, else 0, [batch, classes].

    Returns:
        Nats per class, [batch].

    Raises:
        ValueError: the shapes differ.
    """
    if labels.shape != logits.shape:
        raise ValueError(
            f"label_set_cross_entropy: logits {list(logits.shape)} and labels {list(labels.shape)} differ in shape"
        )
    return F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none").mean(dim=-1)


def on_labeled_rows(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The same loss on gold labels, zero for rows without a label: class −1, score NaN, or a label set of −1.

    Args:
        loss: `loss(logits, labels)`, one value per row, [batch].
    """

    def masked(logits: Tensor, labels: Tensor) -> Tensor:
        is_score = labels.ndim == 1 and labels.is_floating_point()
        missing = labels.isnan() if is_score else labels.reshape(len(labels), -1)[:, 0] < 0
        filled = labels.masked_fill(missing[:, None] if labels.ndim == 2 else missing, 0)
        return loss(logits, filled).masked_fill(missing, 0.0)

    return masked
