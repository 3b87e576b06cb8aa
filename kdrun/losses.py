"""Distillation and supervised losses: pure functions that return one value per example.

All compute in fp32 for inputs of any precision, take logits (not probabilities), return nats, and do not reduce
over the batch. None multiplies by T²: that is up to the method.

The losses registered in group `loss` share the signature `(student, teacher, temperature) -> [batch]`;
`regression=False` marks those that compare distributions: the softmax of a single score is always 1. `multi_label=True`
marks those that compare label sets: one decision per class, no distribution over the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdrun.registry import register

IGNORE_INDEX = -100
"""Label of positions without a target token, as in transformers and torch."""


def _check_same_shape(student: Tensor, teacher: Tensor, name: str) -> None:
    if student.shape != teacher.shape:
        raise ValueError(f"{name}: student {list(student.shape)} and teacher {list(teacher.shape)} differ in shape")


def _mask_weights(mask: Tensor, states: Tensor, length_dim: int, name: str) -> Tensor:
    expected = (states.shape[0], states.shape[length_dim])
    if mask.shape != expected:
        raise ValueError(
            f"{name}: mask {list(mask.shape)} must be [batch, length] = {list(expected)}; another shape would broadcast"
        )
    return mask.to(torch.float32)


@register("loss", "kl", regression=False)
def kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Forward KL(teacher ‖ student) at a temperature.

    Σ_c p_c · (log p_c − log q_c), p = softmax(teacher/T), q = softmax(student/T). Zero exactly when the two
    distributions agree. No T² (Hinton et al. 2015, section 2, has it in the method's weight).

    Args:
        student: logits [..., classes].
        teacher: logits of the same shape.
        temperature: T > 0.

    Returns:
        Nats, [...].

    Raises:
        ValueError: the shapes differ.
    """
    _check_same_shape(student, teacher, "kl_divergence")
    log_q = F.log_softmax(student.float() / temperature, dim=-1)
    log_p = F.log_softmax(teacher.float() / temperature, dim=-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


@register("loss", "reverse_kl", regression=False)
def reverse_kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Reverse KL(student ‖ teacher) at a temperature: mode-seeking instead of mode-covering.

    Arguments, result and errors as `kl_divergence`.
    """
    _check_same_shape(student, teacher, "reverse_kl_divergence")
    return kl_divergence(teacher, student, temperature)


@register("loss", "soft_ce", regression=False)
def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross-entropy with the teacher's softened distribution as target: −Σ_c p_c · log q_c.

    Equals KL(teacher ‖ student) + H(teacher): the same gradient for the student, but another one for a generator
    of their input (the authors of MATE-KD use this form). Arguments, result and errors as `kl_divergence`.
    """
    _check_same_shape(student, teacher, "soft_cross_entropy")
    log_q = F.log_softmax(student.float() / temperature, dim=-1)
    return -(F.softmax(teacher.float() / temperature, dim=-1) * log_q).sum(dim=-1)


@register("loss", "logit_mse")
def logit_mse(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean over outputs of ((student − teacher)/T)²; for scores [batch, 1] the squared difference.

    Times T² the temperature cancels: this is the high-temperature limit of distillation up to a constant
    (Hinton et al. 2015, section 2.1; Ba and Caruana 2014).

    Args:
        student: logits or scores [..., outputs].
        teacher: the same shape.
        temperature: T > 0.

    Returns:
        [...].

    Raises:
        ValueError: the shapes differ (a silent broadcast would compare every pair of rows).
    """
    _check_same_shape(student, teacher, "logit_mse")
    return ((student.float() - teacher.float()) / temperature).square().mean(dim=-1)


@register("loss", "bce", regression=False, multi_label=True)
def binary_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Binary cross-entropy with the teacher's sigmoids as targets, averaged over the classes.

        (1/C) · Σ_c −[ p_c · log q_c + (1 − p_c) · log(1 − q_c) ],  p = σ(teacher/T), q = σ(student/T)

    Knowledge distillation with one two-way softmax per class (Hinton et al. 2015, section 2; the softmax of [z, 0] is
    σ(z)); the mean over classes is [ours]. At high T it approaches mean (student − teacher)²/(8T²) plus log 2 [ours].

    Args:
        student: logits [..., classes].
        teacher: logits of the same shape.
        temperature: T > 0.

    Returns:
        Nats per class, [...].

    Raises:
        ValueError: the shapes differ.
    """
    _check_same_shape(student, teacher, "binary_cross_entropy")
    targets = torch.sigmoid(teacher.float() / temperature)
    logits = student.float() / temperature
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=-1)


@register("loss", "binary_kl", regression=False, multi_label=True)
def binary_kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Forward KL(teacher ‖ student) of each class's two-way distribution, averaged over the classes.

        (1/C) · Σ_c [ p_c · log(p_c/q_c) + (1 − p_c) · log((1 − p_c)/(1 − q_c)) ],  p = σ(teacher/T), q = σ(student/T)

    The binary cross-entropy minus the teacher's entropy: the same gradient for the student, but another one for a
    generator of their input. Zero exactly when the sigmoids agree. Arguments, result and errors as
    `binary_cross_entropy`.
    """
    _check_same_shape(student, teacher, "binary_kl_divergence")
    cross_entropy = binary_cross_entropy(student, teacher, temperature)
    return cross_entropy - binary_cross_entropy(teacher, teacher, temperature)


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
    return F.cross_entropy(logits.float(), labels, reduction="none")


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
    return logit_mse(scores, labels.float().unsqueeze(-1))


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
    _check_same_shape(student, teacher, "hidden_mse")
    weights = _mask_weights(mask, student, 1, "hidden_mse")
    # masked before squaring: a weight of 0 would not silence an inf or NaN in the padding
    difference = (student.float() - teacher.float()).masked_fill(weights[..., None] == 0, 0.0)
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
    _check_same_shape(student, teacher, "attention_mse")
    weights = _mask_weights(mask, student, 2, "attention_mse")
    pairs = weights[:, None, :, None] * weights[:, None, None, :]

    def clean(maps: Tensor) -> Tensor:
        maps = maps.float()
        return torch.where(maps <= -1e2, torch.zeros_like(maps), maps)

    difference = (clean(student) - clean(teacher)).masked_fill(pairs == 0, 0.0)
    error = difference.square() * pairs
    return error.sum(dim=(1, 2, 3)) / (pairs.sum(dim=(1, 2, 3)) * student.shape[1]).clamp(min=1)


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
    return _masked_mean(F.cross_entropy(logits[present].float(), labels[present], reduction="none"), present)


def per_token(loss: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Apply a registered loss to every token of a text, and average over the tokens.

    Args:
        loss: takes logits [..., vocabulary] of student and teacher.

    Returns:
        A loss of logits [batch, length, vocabulary], in nats per token, [batch]. The teacher's logits mark padding:
        they are NaN there, so that a loss that ignores padding is NaN too.
    """

    def averaged(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        _check_same_shape(student, teacher, "per_token")
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
