"""Distillation by correlation of predictions (DIST)."""

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

OFFSET = 1e-8
"""Added to the product of the norms, as in the authors' code."""


@register("loss", "dist", regression=False, sees_batch=True)
def pearson_distance(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    *,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
) -> Tensor:
    """DIST: one minus the Pearson correlation of student and teacher, between and within the classes.

        inter_weight · (1 − ρ(p_i, q_i)) + intra_weight · (1/C) · Σ_c (1 − ρ(p_·c, q_·c))

    p = softmax(teacher/T), q = softmax(student/T) (Huang et al. 2022, arXiv 2205.10536). The first term is the row's
    correlation over the classes. The second is the correlation over the rows for each class, and has the same value
    for every row. The student may differ from the teacher by a scale and a shift in both directions.

    The rows of the second term are those of the call: of a micro-batch, and in tasks answered with text all its tokens.
    The loss of a step is the mean over its micro-batches, weighted by their rows, so it does not depend on the number
    of processes. It depends on `optim.batch_size`, as a batch normalization does: 4 micro-batches of 8 rows are 4
    correlations over 8 rows. A single row has no second term. With two classes the first term is constant, because two
    probabilities always correlate by 1 or −1.

    Differences:
        - the authors' code averages over the processes of a training with equal weights; here a smaller micro-batch has
            a smaller weight.
        - the authors' second term of a single row is the constant 1.
        - the code has T inside the softmax and the factor T² in some versions; here the method multiplies by T².

    Args:
        student: logits [..., classes].
        teacher: logits of the same shape.
        temperature: T > 0.
        inter_weight: β of the paper, at least 0.
        intra_weight: γ of the paper, at least 0.

    Returns:
        Values whose mean is the loss, [...].

    Raises:
        ValueError: the shapes differ.
    """
    check_same_shape(student, teacher, "pearson_distance")
    q = F.softmax(at_least_fp32(student) / temperature, dim=-1)
    p = F.softmax(at_least_fp32(teacher) / temperature, dim=-1)
    between = inter_weight * (1 - _correlation(q, p, dim=-1))
    rows = q.reshape(-1, q.shape[-1]), p.reshape(-1, p.shape[-1])
    if len(rows[0]) < 2:
        return between
    return between + intra_weight * (1 - _correlation(*rows, dim=0)).mean()


def _correlation(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Pearson correlation along a dimension; 0 where one of the two is constant."""
    a, b = a - a.mean(dim=dim, keepdim=True), b - b.mean(dim=dim, keepdim=True)
    norms = torch.linalg.vector_norm(a, dim=dim) * torch.linalg.vector_norm(b, dim=dim)
    return (a * b).sum(dim=dim) / (norms + OFFSET)
