"""Divergences between the logits of student and teacher, one value per example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdrun.lazy import lazy_module
from kdrun.losses.inputs import at_least_fp32, check_same_shape
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor
else:
    torch, F = lazy_module("torch"), lazy_module("torch.nn.functional")


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
    check_same_shape(student, teacher, "kl_divergence")
    log_q = F.log_softmax(at_least_fp32(student) / temperature, dim=-1)
    log_p = F.log_softmax(at_least_fp32(teacher) / temperature, dim=-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


@register("loss", "reverse_kl", regression=False)
def reverse_kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Reverse KL(student ‖ teacher) at a temperature: mode-seeking instead of mode-covering.

    Arguments, result and errors as `kl_divergence`.
    """
    check_same_shape(student, teacher, "reverse_kl_divergence")
    return kl_divergence(teacher, student, temperature)


@register("loss", "soft_ce", regression=False)
def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross-entropy with the teacher's softened distribution as target: −Σ_c p_c · log q_c.

    Equals KL(teacher ‖ student) + H(teacher): the same gradient for the student, but another one for a generator
    of their input (the authors of MATE-KD use this form). Arguments, result and errors as `kl_divergence`.
    """
    check_same_shape(student, teacher, "soft_cross_entropy")
    log_q = F.log_softmax(at_least_fp32(student) / temperature, dim=-1)
    return -(F.softmax(at_least_fp32(teacher) / temperature, dim=-1) * log_q).sum(dim=-1)


@register("loss", "logit_mse", raw_logits=True)
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
    check_same_shape(student, teacher, "logit_mse")
    return ((at_least_fp32(student) - at_least_fp32(teacher)) / temperature).square().mean(dim=-1)


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
    check_same_shape(student, teacher, "binary_cross_entropy")
    targets = torch.sigmoid(at_least_fp32(teacher) / temperature)
    logits = at_least_fp32(student) / temperature
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=-1)


@register("loss", "binary_kl", regression=False, multi_label=True)
def binary_kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Forward KL(teacher ‖ student) of each class's two-way distribution, averaged over the classes.

        (1/C) · Σ_c [ p_c · log(p_c/q_c) + (1 − p_c) · log((1 − p_c)/(1 − q_c)) ],  p = σ(teacher/T), q = σ(student/T)

    The binary cross-entropy minus the teacher's entropy: the same gradient for the student, but another one for a
    generator of their input. Zero exactly when the sigmoids agree. Arguments, result and errors as
    `binary_cross_entropy`.
    """
    check_same_shape(student, teacher, "binary_kl_divergence")
    cross_entropy = binary_cross_entropy(student, teacher, temperature)
    return cross_entropy - binary_cross_entropy(teacher, teacher, temperature)
