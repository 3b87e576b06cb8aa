"""Divergences from a mixture of the distributions of student and teacher.

p is the teacher's distribution and q the student's, both at temperature T. Each of these losses compares one of them
with a mixture of both, so that the divergence stays bounded where the other one is close to zero.
"""

from __future__ import annotations

import math
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


@register("loss", "jsd", regression=False)
def jensen_shannon(student: Tensor, teacher: Tensor, temperature: float = 1.0, *, teacher_share: float = 0.5) -> Tensor:
    """Generalized Jensen–Shannon divergence of teacher and student at a temperature.

        β · KL(p ‖ m) + (1 − β) · KL(q ‖ m),  m = β · p + (1 − β) · q

    (Agarwal et al. 2024, arXiv 2306.13649, equation 1). Divided by β it approaches KL(p ‖ q) for β → 0, and divided by
    1 − β it approaches KL(q ‖ p) for β → 1. At most the entropy of (β, 1 − β): log 2 for β = 1/2.

    Differences:
        teacher_share: the authors and TRL define β = 0 and β = 1 as KL(p ‖ q) and KL(q ‖ p), where the formula is zero;
            these are `loss=kl` and `loss=reverse_kl` here.
        - the temperature is [ours]; TRL's function has it too, and its trainer leaves it at 1.

    Args:
        student: logits [..., classes].
        teacher: logits of the same shape.
        temperature: T > 0.
        teacher_share: β, between 0 and 1.

    Returns:
        Nats, [...].

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(student, teacher, "jensen_shannon")
    log_q, log_p = _log_softmax(student, temperature), _log_softmax(teacher, temperature)
    log_m = _log_mixture(log_p, log_q, teacher_share)
    return teacher_share * _kl(log_p, log_m) + (1 - teacher_share) * _kl(log_q, log_m)


@register("loss", "skew_kl", regression=False)
def skew_kl_divergence(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, teacher_share: float = 0.1
) -> Tensor:
    """Skew KL divergence: KL(teacher ‖ mixture), whose mixture has a share of the teacher.

        KL(p ‖ α · p + (1 − α) · q)

    (Ko et al. 2024, arXiv 2402.03898). α = 0 is `loss=kl`. The gradient stays bounded where q is close to zero and p
    is not; the divergence is at most −log α.

    Differences:
        - the authors' function returns the cross-entropy, without the teacher's entropy: another value, the same
            gradient for the student.
        - the temperature is [ours]; the authors have none.

    Args:
        student: logits [..., classes].
        teacher: logits of the same shape.
        temperature: T > 0.
        teacher_share: α, at least 0 and below 1.

    Returns:
        Nats, [...].

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(student, teacher, "skew_kl_divergence")
    log_q, log_p = _log_softmax(student, temperature), _log_softmax(teacher, temperature)
    return _kl(log_p, _log_mixture(log_p, log_q, teacher_share))


@register("loss", "skew_reverse_kl", regression=False)
def skew_reverse_kl_divergence(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, *, student_share: float = 0.1
) -> Tensor:
    """Skew reverse KL divergence: KL(student ‖ mixture), whose mixture has a share of the student.

        KL(q ‖ (1 − α) · p + α · q)

    (Ko et al. 2024, arXiv 2402.03898). α = 0 is `loss=reverse_kl`. Finite where p is zero; at most −log α.

    Differences:
        - the temperature is [ours]; the authors have none.

    Args:
        student: logits [..., classes].
        teacher: logits of the same shape.
        temperature: T > 0.
        student_share: α, at least 0 and below 1.

    Returns:
        Nats, [...].

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(student, teacher, "skew_reverse_kl_divergence")
    return skew_kl_divergence(teacher, student, temperature, teacher_share=student_share)


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    return F.log_softmax(at_least_fp32(logits) / temperature, dim=-1)


def _log_mixture(log_a: Tensor, log_b: Tensor, share: float) -> Tensor:
    """Log of share · a + (1 − share) · b."""
    if not share:
        return log_b
    return torch.logaddexp(log_a + math.log(share), log_b + math.log1p(-share))


def _kl(log_a: Tensor, log_b: Tensor) -> Tensor:
    """KL(a ‖ b) over the last dimension."""
    return F.kl_div(log_b, log_a, reduction="none", log_target=True).sum(dim=-1)
