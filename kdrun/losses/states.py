"""Losses on hidden states, attention maps and relations, one value per example."""

from __future__ import annotations

import math
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


def relation_divergence(student: Tensor, teacher: Tensor, mask: Tensor, heads: int) -> Tensor:
    """KL(teacher ‖ student) of the relations between tokens, averaged over tokens and relation heads (MiniLMv2).

    The relation of a token is the softmax over the tokens of its text of their scaled products with it. Padding is no
    part of it.

    Args:
        student: its queries, keys or values, [batch, length, width].
        teacher: the same ones of the teacher, of any width.
        mask: attention mask [batch, length], 1 for tokens.
        heads: A_r; divides both widths.

    Returns:
        Nats, [batch].

    Raises:
        ValueError: batch or length differ, or the shape of the mask does not match.
    """
    check_same_shape(student[..., 0], teacher[..., 0], "relation_divergence")
    weights = _mask_weights(mask, student, 1, "relation_divergence")
    present = weights.bool()
    log_q, log_p = (_log_relations(vectors, present, heads) for vectors in (student, teacher))
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=-1).mean(dim=1)
    return divergence.masked_fill(~present, 0.0).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1)


def _log_relations(vectors: Tensor, present: Tensor, heads: int) -> Tensor:
    """Log relations, [batch, heads, length, length]; a lowest number for padding, whose relation is 0."""
    batch, length, width = vectors.shape
    split = at_least_fp32(vectors).view(batch, length, heads, width // heads).transpose(1, 2)
    with torch.autocast(vectors.device.type, enabled=False):  # a softmax needs sums in full precision
        scores = torch.matmul(split, split.transpose(2, 3)) / math.sqrt(width // heads)
    lowest = torch.finfo(scores.dtype).min / 2
    return scores.masked_fill(~present[:, None, None, :], lowest).log_softmax(dim=-1)
