"""Checks for finite losses and gradients, on a GPU one step later.

Reading a number of a GPU waits until the GPU has finished everything that is queued, and leaves it idle until the next
kernel arrives. So the numbers of a step are copied to the host while the next step is queued, and read after that. A
step whose loss or gradient is not finite still changes no weight: the fused optimizers skip it on the GPU. The error is
reported one step later than on a CPU, and names the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdrun import ranks, sharding
from kdrun.data import transfer
from kdrun.methods.base import StepOutput
from kdrun.training.optim import total_gradient_norm
from kdrun.training.step_checks import check_finite_gradient, check_finite_loss

Where = tuple[str, str]
"""Beginning and end of an error message: the phase and step, and the last checkpoint."""


@dataclass(frozen=True)
class MicroBatchLoss:
    """Losses of a micro-batch that have yet to be read.

    Attributes:
        output: its losses, without their graph.
        rows: numbers of its training rows.
    """

    output: StepOutput
    rows: list[int]


@dataclass(frozen=True)
class StepValues:
    """Numbers of a step on their way to the host.

    Attributes:
        read: waits for the numbers: the norm of the gradient, then the loss of each micro-batch.
        losses: of the step's micro-batches.
        where: for error messages.
    """

    read: Callable[[], list[float]]
    losses: list[MicroBatchLoss]
    where: Where


class FiniteChecks:
    """Checks on the losses and gradients of a phase.

    Args:
        is_delayed: whether the numbers of a step are read one step later.
    """

    def __init__(self, is_delayed: bool) -> None:
        self.is_delayed = is_delayed
        self._losses: list[MicroBatchLoss] = []
        self._last: StepValues | None = None

    def check_loss(self, output: StepOutput, rows: Tensor, where: Where) -> None:
        """Check the loss of a micro-batch, now or with the gradient of its step.

        Args:
            output: losses of the micro-batch.
            rows: numbers of its training rows, [batch], on the CPU.
            where: for error messages.

        Raises:
            TrainingError: the loss is not finite.
        """
        if not self.is_delayed:
            check_finite_loss(output, rows.tolist(), where)
            return
        terms = {name: value.detach() for name, value in output.loss_terms.items()}
        self._losses.append(MicroBatchLoss(StepOutput(output.loss.detach(), output.count, terms), rows.tolist()))

    def gradient_norm(self, optimizer: Any, divisor: int, count: int, rows: list[int], where: Where) -> float | Tensor:
        """Norm of a step's gradient, checked now; or a tensor on the GPU, checked after the next step.

        Args:
            optimizer: of the step; it skips a step that is not finite.
            divisor: divisor that the accumulated gradient already contains.
            count: examples of the step; the norm is that of the mean over them.
            rows: numbers of the step's training rows.
            where: for error messages.

        Raises:
            TrainingError: this gradient, or with delayed checks a loss or gradient of the step before, is not finite.
        """
        if not self.is_delayed:
            norm = float(total_gradient_norm(optimizer)) * divisor / count
            check_finite_gradient(norm, rows, where)
            return norm
        device_norm = total_gradient_norm(optimizer) * (divisor / count)
        losses, self._losses = self._losses, []
        values = torch.stack([device_norm.float(), *(loss.output.loss.float() for loss in losses)])
        optimizer.found_inf = (~values.isfinite().all()).float()
        read = copy_to_host(values)
        self.finish()
        self._last = StepValues(read, losses, where)
        return device_norm

    def finish(self) -> None:
        """Check the last step, if that is still due; called before its weights are evaluated or saved.

        Raises:
            TrainingError: a loss or gradient of the step is not finite.
        """
        last, self._last = self._last, None
        if last is None:
            return
        norm, *losses = last.read()
        for micro_batch, loss in zip(last.losses, losses, strict=True):
            if loss - loss != 0:  # infinite or NaN
                check_finite_loss(micro_batch.output, micro_batch.rows, last.where)
        check_finite_gradient(norm, [row for micro_batch in last.losses for row in micro_batch.rows], last.where)


def can_be_delayed(optimizer: Any, device: torch.device) -> bool:
    """Whether an optimizer can skip a step on a GPU: a fused one in a single process, with whole weights.

    Several processes agree on each step, and wait for it in any case.
    """
    is_divided = any(sharding.is_divided(p) for group in optimizer.param_groups for p in group["params"])
    is_fused = getattr(optimizer, "_step_supports_amp_scaling", False)
    return transfer.reads_wait(device) and is_fused and ranks.size() == 1 and not is_divided


def copy_to_host(values: Tensor) -> Callable[[], list[float]]:
    """Begin to copy numbers to the host; the result waits for this copy alone, and returns them."""
    if values.device.type != "cuda":
        return values.tolist
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def read() -> list[float]:
        copied.synchronize()
        return host.tolist()

    return read
