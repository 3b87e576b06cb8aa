"""Distillation losses for several classes: decoupled KD and KL of standardized logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdrun.lazy import lazy_module
from kdrun.losses.divergences import kl_divergence
from kdrun.losses.inputs import at_least_fp32, check_same_shape
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor
else:
    torch, F = lazy_module("torch"), lazy_module("torch.nn.functional")

DEVIATION_OFFSET = 1e-7
"""Added to the standard deviation of logits, as in the authors' code."""


@register(
    "loss",
    "dkd",
    regression=False,
    two_classes="it compares the other classes with each other, and of two classes only one other is left",
)
def decoupled_kd(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    *,
    target_weight: float = 1.0,
    other_weight: float = 8.0,
) -> Tensor:
    """Decoupled KD: the target class against all others, and the other classes among each other.

        α · KL((p_t, 1 − p_t) ‖ (q_t, 1 − q_t)) + β · KL(p̂ ‖ q̂),  p̂_c = p_c / (1 − p_t) for c ≠ t

    p = softmax(teacher/T), q = softmax(student/T), q̂ as p̂ (Zhao et al. 2022, arXiv 2203.08679). KL(p ‖ q) is the same
    sum with α = 1 and β = 1 − p_t: decoupled KD keeps the second term where the teacher is sure. The target class t is
    the teacher's most likely class.

    Differences:
        - the target class of the paper is the gold label. The teacher's class equals it wherever the teacher is right,
            and exists for rows without a label, for generated text and for tokens. Where the teacher is wrong, the
            first term teaches the teacher's class, as `loss=kl` does.
        - the authors' code adds −1000 to the target's logit instead of leaving the class out, and takes the logarithm
            of a rounded 1 − q_t, which is infinite for a student that is very sure; other values are the same.
        - the code multiplies by T², which the method does here, and warms the loss up over the first epochs.

    Args:
        student: logits [..., classes].
        teacher: logits of the same shape.
        temperature: T > 0.
        target_weight: α, at least 0.
        other_weight: β, at least 0.

    Returns:
        Nats, [...].

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(student, teacher, "decoupled_kd")
    target = F.one_hot(teacher.argmax(dim=-1), teacher.shape[-1]).bool()
    q_binary, q_others = _split(at_least_fp32(student) / temperature, target)
    p_binary, p_others = _split(at_least_fp32(teacher) / temperature, target)
    binary = F.kl_div(q_binary, p_binary, reduction="none", log_target=True).sum(dim=-1)
    # where p̂ is left out, kl_div sees equal logarithms, whose term and gradient are zero
    others = F.kl_div(q_others, p_others, reduction="none", log_target=True).sum(dim=-1)
    return target_weight * binary + other_weight * others


def _split(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of (p_t, 1 − p_t), [..., 2], and of p̂, [..., classes], 0 at the target class."""
    log_p = F.log_softmax(logits, dim=-1)
    rest = log_p.masked_fill(target, -torch.inf)
    binary = torch.stack([log_p.masked_fill(~target, 0.0).sum(dim=-1), rest.logsumexp(dim=-1)], dim=-1)
    return binary, F.log_softmax(rest, dim=-1).masked_fill(target, 0.0)


@register(
    "loss",
    "kl_standardized",
    regression=False,
    raw_logits=True,
    two_classes="two standardized logits are always the same two numbers, so that the loss has no gradient",
)
def standardized_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Forward KL(teacher ‖ student) of standardized logits.

        KL(softmax(z(teacher)/T) ‖ softmax(z(student)/T)),  z(x) = (x − mean(x)) / (std(x) + 10⁻⁷)

    Mean and (unbiased) standard deviation are those of the logits of a row (Sun et al. 2024, arXiv 2403.01427). The
    student learns the relations between the teacher's logits, not their size: its logits may be any multiple of the
    teacher's.

    Differences:
        - the code multiplies by T², which the method does here; its command lines have T = 2 and weight 9.
        - a row of equal logits has the gradient zero here, and none that is finite in the authors' code.

    Arguments, result and errors as `kl_divergence`.
    """
    check_same_shape(student, teacher, "standardized_kl")
    return kl_divergence(_standardize(student), _standardize(teacher), temperature)


def _standardize(logits: Tensor) -> Tensor:
    centered = at_least_fp32(logits)
    centered = centered - centered.mean(dim=-1, keepdim=True)
    variance = centered.square().sum(dim=-1, keepdim=True) / max(1, logits.shape[-1] - 1)
    # below the smallest normal number the root has no finite gradient
    deviation = variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()
    return centered / (deviation + DEVIATION_OFFSET)
