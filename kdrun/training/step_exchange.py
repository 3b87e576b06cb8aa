"""Agree on an optimizer step between processes, and sum its gradients.

Each process has the gradient of the micro-batches that it computed, a sum over their examples. Divided by the number of
examples of all processes, the sum of these gradients is the mean over the step's examples, however the micro-batches
are shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from kdrun import ranks
from kdrun.sharding import is_divided
from kdrun.training.step_checks import FirstStepReport

NUM_FIELDS = 4
T = TypeVar("T")


@dataclass
class StepGradient:
    """Gradient of this process's micro-batches of a step, which the parameters hold.

    Attributes:
        count: number of examples.
        loss_divisor: divisor that the gradient already contains.
        report: report on a role's first step.
        error: error of a micro-batch, which the other processes have yet to learn of.
    """

    count: int = 0
    loss_divisor: int = 1
    report: FirstStepReport | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class StepAgreement:
    """Facts of a step that all processes agree on.

    Attributes:
        count: examples of the step in all processes.
        signal: largest number of a signal that a process received; None if none did.
        checkpoint_due: whether the first process's checkpoint is due.
    """

    count: int
    signal: int | None = None
    checkpoint_due: bool = False


def share_micro_batches(group: Sequence[T], evenly: bool) -> Iterator[tuple[T, bool]]:
    """Yield this process's micro-batches of a step, and whether each counts.

    Args:
        group: micro-batches of all processes.
        evenly: whether every process must take as many, because each pass gathers divided weights from all; a process
            that has one fewer repeats one, which does not count.
    """
    part, count = ranks.share_evenly(group) if evenly else (ranks.share(group), len(group))
    for index, micro_batch in enumerate(part):
        yield micro_batch, index < count


def agree_on_step(
    parameters: Sequence[Tensor], count: int, error: Exception | None, signal: int | None, checkpoint_due: bool
) -> StepAgreement:
    """Agree with the other processes on a step, and sum the gradients of its parameters.

    A parameter without a gradient in every process keeps none, so that the optimizer skips it as in one process.
    Gradients of divided weights have been summed by the backward pass.

    Args:
        parameters: those that the step updates, in the same order in every process.
        count: examples of this process's micro-batches; 0 for a process without one.
        error: error of this process in these micro-batches; None if there is none.
        signal: number of a signal that this process received.
        checkpoint_due: whether this process has a checkpoint to save.

    Raises:
        Exception: that of the first process that has one, in every process.
    """
    has_gradient = [float(p.grad is not None) for p in parameters]
    fields = [float(count), float(error is not None), float(signal or 0), float(checkpoint_due)]
    vectors = ranks.gather_vectors(torch.tensor([*fields, *has_gradient], dtype=torch.float64))
    if bool(vectors[:, 1].any()):
        ranks.raise_first_error(error)
    present = vectors[:, NUM_FIELDS:].any(dim=0).tolist()
    _sum_gradients([p for p, is_present in zip(parameters, present, strict=True) if is_present and not is_divided(p)])
    number = int(vectors[:, 2].max())
    return StepAgreement(int(vectors[:, 0].sum()), number or None, bool(vectors[0, 3]))


def _sum_gradients(parameters: Sequence[Tensor]) -> None:
    gradients: dict[torch.dtype, list[Tensor]] = {}
    for p in parameters:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        gradients.setdefault(p.grad.dtype, []).append(p.grad)
    for tensors in gradients.values():
        ranks.sum_tensors(tensors)
