"""Exchange tensors with the device of a run without waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def reads_wait(device: torch.device) -> bool:
    """Whether reading a value of a tensor waits until the device has finished everything that is queued."""
    return device.type == "cuda"


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device.

    A GPU copies from pinned memory, so that the host does not wait for the copy and for all work queued before it. The
    pinned memory is reused once the copy is done. Values that are on the device already are returned as they are.

    Args:
        values: on the CPU, or on the device.
        device: of the result.
    """
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
