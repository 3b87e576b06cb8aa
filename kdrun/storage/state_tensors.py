"""Module and optimizer state as flat tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdrun import sharding
from kdrun.errors import CheckpointError


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers by name, without copies; tied tensors once, by their first name."""
    state = module.state_dict()
    return {name: state[name] for name, first in _first_names(module, state).items() if name == first}


def complete_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers by name, tied tensors under each of their names; complete in the first process.

    A module whose weights are divided is gathered on the CPU; all processes must call it.
    """
    state = module.state_dict()
    first_names = _first_names(module, state)
    tensors = sharding.gather({name: state[name] for name, first in first_names.items() if name == first})
    return {name: tensors[first] for name, first in first_names.items() if first in tensors}


def _first_names(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, str]:
    """The first name of each tensor of a state; its own name, unless it is tied to an earlier one."""
    parameters, first_names = dict(module.named_parameters(remove_duplicate=False)), {}
    by_identity: dict[tuple[Any, ...], str] = {}
    for name, tensor in state.items():
        if sharding.is_divided(tensor):  # its part may be empty, and processes must agree on names
            identity = (id(parameters[name]),)
        else:
            identity = (tensor.data_ptr(), tensor.shape, tensor.stride())
        first_names[name] = name if tensor.numel() == 0 else by_identity.setdefault(identity, name)
    return first_names


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
            tensor.copy_(sharding.divide(tensors[name], tensor))


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
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, values in state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameters[number].shape:
                values[name] = sharding.divide(value, parameters[number])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
