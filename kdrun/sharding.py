"""Tensors that are divided among the processes of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kdrun import ranks

if TYPE_CHECKING:
    from torch import Tensor, nn


def is_divided(tensor: Tensor) -> bool:
    """Whether a tensor is a `DTensor`, of which this process has a part."""
    return hasattr(tensor, "full_tensor")


def is_sharded(module: nn.Module) -> bool:
    """Whether a module's weights are divided, so that all processes must call its forward pass together."""
    return any(is_divided(parameter) for parameter in module.parameters())


def local_part(tensor: Any) -> Tensor:
    """This process's part of a divided tensor, sharing its memory; any other tensor as it is."""
    return tensor.to_local() if is_divided(tensor) else tensor


def gather(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Complete the divided tensors, on the CPU of the first process; the other processes get only those not divided.

    All processes must call it with the same names. One tensor at a time is complete on the devices.

    Args:
        tensors: by name.
    """
    complete: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        divided: Any = tensor
        if not is_divided(tensor):
            complete[name] = tensor
            continue
        whole = divided.full_tensor()
        if ranks.is_first():
            complete[name] = whole.cpu()
    return complete


def divide(value: Tensor, like: Any) -> Tensor:
    """This process's part of a complete tensor, divided as another one; as it is if the other one is not divided.

    Args:
        value: the same tensor in every process.
        like: divided by rows, as `torch.chunk` does, or not at all.
    """
    if not is_divided(like) or is_divided(value):
        return value
    from torch.distributed.tensor import DTensor

    mesh, local = like.device_mesh, like.to_local()
    chunks, number = value.chunk(mesh.size()), mesh.get_local_rank()
    part = chunks[number] if number < len(chunks) else value[:0]
    part = part.to(local.device, local.dtype, copy=True)
    return DTensor.from_local(part, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride())
