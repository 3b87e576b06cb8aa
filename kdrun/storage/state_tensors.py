"""Module and optimizer state as flat tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.errors import CheckpointError


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers by name, without copies; tied tensors once, by their first name."""
    tensors: dict[str, Tensor] = {}
    seen: set[tuple[int, torch.Size, tuple[int, ...]]] = set()
    for name, tensor in module.state_dict().items():
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if identity not in seen or tensor.numel() == 0:
            seen.add(identity)
            tensors[name] = tensor
    return tensors


def load_module_tensors(module: nn.Module, tensors: Mapping[str, Tensor], label: str) -> None:
    """Copy tensors from `module_tensors` into a module of the same shapes.

    Args:
        module: the module to load into.
        tensors: name → tensor.
        label: name of the module in an error message.

    Raises:
        CheckpointError: names or shapes differ.
    """
    current = module_tensors(module)
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (current, tensors)]
    if shapes[0] != shapes[1]:
        differing = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
        raise CheckpointError(
            f"the checkpoint's {label} is from another model: they differ in {', '.join(differing[:3])}"
        )
    with torch.no_grad():
        for name, tensor in current.items():
            tensor.copy_(tensors[name])


def split_tensors(values: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split values into tensors, for safetensors, and other data, for JSON."""
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return tensors, {name: value for name, value in values.items() if name not in tensors}


def optimizer_tensors(optimizer: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state by names such as `12.exp_avg`: tensors, and other data."""
    state = optimizer.state_dict()["state"]
    return split_tensors({f"{i}.{name}": value for i, values in state.items() for name, value in values.items()})


def load_optimizer_tensors(optimizer: Any, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Load state from `optimizer_tensors` into an optimizer of the same parameters; its settings are unchanged."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **plain}.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
