"""Losses on hidden states and attention maps, one value per example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdrun.lazy import lazy_module
from kdrun.losses.inputs import at_least_fp32, check_same_shape

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def _mask_weights(mask: Tensor, states: Tensor, length_dim: int, name: str) -> Tensor:
    expected = (states.shape[0], states.shape[length_dim])
    if mask.shape != expected:
        raise ValueError(
            f"{name}: mask {list(mask.shape)} must be [batch, length] = {list(expected)}; another shape would broadcast"
        )
    return mask.to(torch.float32)


def hidden_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of hidden states over the tokens that are not padding, and over the width.

    Args:
        student: [batch, length, width], already projected to the teacher's width where they differ.
        teacher: the same shape.
        mask: attention mask [batch, length], 1 for tokens.

    Returns:
        [batch]; an example's value does not depend on how far its batch was padded.

    Raises:
        ValueError: the shapes differ, or that of the mask does not match.
    """
    check_same_shape(student, teacher, "hidden_mse")
    weights = _mask_weights(mask, student, 1, "hidden_mse")
    # masked before squaring: a weight of 0 would not silence an inf or NaN in the padding
    difference = (at_least_fp32(student) - at_least_fp32(teacher)).masked_fill(weights[..., None] == 0, 0.0)
    return (difference.square().mean(dim=-1) * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1)


def attention_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of attention maps over heads and over pairs of tokens that are not padding.

    Values of −100 and below (masked scores, where maps hold scores instead of probabilities) count as 0,
    as in TinyBERT's and Meta-KD's code.

    Args:
        student: [batch, heads, length, length].
        teacher: the same shape; average over heads first if the numbers of heads differ.
        mask: attention mask [batch, length], 1 for tokens.

    Returns:
        [batch].

    Raises:
        ValueError: the shapes differ, or that of the mask does not match.
    """
    check_same_shape(student, teacher, "attention_mse")
    weights = _mask_weights(mask, student, 2, "attention_mse")
    pairs = weights[:, None, :, None] * weights[:, None, None, :]

    def clean(maps: Tensor) -> Tensor:
        maps = at_least_fp32(maps)
        return torch.where(maps <= -1e2, torch.zeros_like(maps), maps)

    difference = (clean(student) - clean(teacher)).masked_fill(pairs == 0, 0.0)
    error = difference.square() * pairs
    return error.sum(dim=(1, 2, 3)) / (pairs.sum(dim=(1, 2, 3)) * student.shape[1]).clamp(min=1)
