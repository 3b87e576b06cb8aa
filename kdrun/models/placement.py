"""Put models on the device, whole, divided among processes, or spread."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from kdrun import ranks, sharding
from kdrun.errors import ModelError
from kdrun.models import row_groups
from kdrun.models.bundle import ModelBundle


def place(bundle: ModelBundle, device: torch.device, role: str, *, divide: bool) -> None:
    """Move a model to the device, in place; with several processes divide its weights among them, if asked to.

    Args:
        bundle: the model, on the CPU.
        device: of this process.
        role: for messages.
        divide: whether to divide the weights.

    Raises:
        ModelError: the model cannot be divided.
    """
    model = cast("nn.Module", bundle.model)
    if not divide or ranks.size() == 1:
        model.to(device)
        return
    if row_groups.grouping_of(bundle.model) is not None:
        raise ModelError(
            f"runtime.shard divides the {role}, and {bundle.name} passes the rows of a batch in groups by length, so "
            "that processes would need different numbers of passes; leave runtime.shard out"
        )
    shard(model, device)


def shard(model: nn.Module, device: torch.device) -> None:
    """Divide the weights of a model among the processes, in place, by FSDP2.

    The whole model's forward pass gathers the weights of one layer at a time, and its backward pass sums gradients over
    the processes and leaves each with its part. So all processes must call both equally often. Weights may only be used
    inside the model's forward pass.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(device.type, (ranks.size(),))
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    for module in [*reversed(layers), model]:
        # divided again after each pass, so that the optimizer and checkpoints always find the parts
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)  # sums, which the trainer divides by the examples of all processes
        module.set_force_sum_reduction_for_comms(True)  # gloo has no other reduction
    assert sharding.is_sharded(model)
