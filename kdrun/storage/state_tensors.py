"""Module and optimizer state as flat tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.errors import CheckpointError


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers by name, on its own storage; tied ones once, by their first name."""
    found: dict[str, Tensor] = {}
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    for name, tensor in module.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if place not in seen or tensor.numel() == 0:
            seen.add(place)
            found[name] = tensor
    return found


def load_module_tensors(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Copy what `tensors_of` gave into a module of the same shape.

    Raises:
        CheckpointError: it is of another shape.
    """
    own = module_tensors(module)
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (own, tensors)]
    if shapes[0] != shapes[1]:
        unlike = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
        raise CheckpointError(f"the checkpoint's {what} is of another model: they differ in {', '.join(unlike[:3])}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def split_tensors(values: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, for safetensors, and the rest, for JSON."""
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return tensors, {name: value for name, value in values.items() if name not in tensors}


def optimizer_tensors(optimizer: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an optimizer has gathered, under names such as `12.exp_avg`: tensors, and the rest."""
    state = optimizer.state_dict()["state"]
    return split_tensors({f"{i}.{name}": value for i, values in state.items() for name, value in values.items()})


def load_optimizer_tensors(optimizer: Any, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Give `optimizer_state` back to an optimizer of the same parameters; its rates and other settings stay."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **plain}.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
