"""Optimizers, parameter groups and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from kdrun import registry, sharding
from kdrun.config.optim import OptimizerConfig
from kdrun.registry import register

FUSED = frozenset({"adamw", "adam"})
"""Optimizers that update all weights in one kernel, on the CPU too."""
CLIP_EPS = 1e-6
"""Prevents a division by zero for a gradient of norm zero, as in PyTorch's clipping."""


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, object]]:
    """The trainable parameters, each once, in two groups: matrices decay, biases and norms do not."""
    parameters = {id(p): p for module in modules for p in module.parameters()}.values()
    matrices = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


@register("optimizer", "adamw")
def adamw(modules: Iterable[nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019), in its fused form."""
    return _fused_adam(torch.optim.AdamW, modules, config)


@register("optimizer", "adam")
def adam(modules: Iterable[nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015); weight decay, where set, is added to the gradient."""
    return _fused_adam(torch.optim.Adam, modules, config)


def _fused_adam(
    optimizer_class: type[torch.optim.Adam], modules: Iterable[nn.Module], config: OptimizerConfig
) -> torch.optim.Optimizer:
    groups = parameter_groups(modules, config.weight_decay)
    return optimizer_class(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


@register("optimizer", "sgd")
def sgd(modules: Iterable[nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum `beta1`."""
    return torch.optim.SGD(parameter_groups(modules, config.weight_decay), lr=config.lr, momentum=config.beta1)


@register("schedule", "constant")
def constant(progress: float) -> float:
    """The peak throughout."""
    return 1.0


@register("schedule", "linear")
def linear(progress: float) -> float:
    """A straight line from the peak to zero."""
    return 1.0 - progress


@register("schedule", "cosine")
def cosine(progress: float) -> float:
    """Half a cosine from the peak to zero."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def learning_rate(config: OptimizerConfig, step: int, total: int, decay_end: int | None = None) -> float:
    """The learning rate of a role's step: a linear warm-up, then the schedule.

    Args:
        config: peak, schedule, warm-up.
        step: steps of the role so far, 0 … total − 1.
        total: steps of the role in this phase; `warmup_ratio` is a share of them.
        decay_end: n, the step at which the schedule would end; by default `total`.

    Returns:
        `lr · (step+1)/(warmup+1)` while `step < warmup`; after that `lr` times the schedule at
        `(step − warmup)/(n − warmup)`, so the first step after the warm-up is at the peak.
    """
    warmup = config.warmup_steps if config.warmup_steps is not None else round(config.warmup_ratio * total)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max((decay_end or total) - warmup, 1)
    return config.lr * registry.get("schedule", config.schedule).target(progress)


class UpdateRule:
    """Turns gradients into steps: optimizer, learning rate and clipping."""

    def make_optimizer(self, modules: Iterable[nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
        """The optimizer of a role's modules."""
        return registry.build("optimizer", config.name, list(modules), config)

    def learning_rate(self, config: OptimizerConfig, step: int, total: int, decay_end: int | None = None) -> float:
        """The learning rate of a step of a role; arguments as for `kdrun.training.optim.learning_rate`."""
        return learning_rate(config, step, total, decay_end)

    def clip_factor(self, norm: Any, clip_norm: float) -> Any:
        """Factor that scales gradients of this norm to at most `clip_norm`; 1 if `clip_norm` is 0.

        The factor is a number for a number, and a tensor for a tensor.
        """
        if not clip_norm:
            return 1.0
        factor = clip_norm / (norm + CLIP_EPS)
        return factor.clamp(max=1.0) if isinstance(factor, Tensor) else min(1.0, factor)

    def step(self, optimizer: torch.optim.Optimizer, divisor: float, max_norm: float, norm: float | Tensor) -> None:
        """Divide and clip the gradients in at most one pass over them, and take the step.

        Args:
            optimizer: the role's.
            divisor: divides the gradients into their mean over the examples.
            max_norm: largest norm of the mean gradient; 0 for no clipping.
            norm: norm of the mean gradient, a number or a tensor on the device.
        """
        factor = self.clip_factor(norm, max_norm) / divisor
        if isinstance(factor, Tensor) or factor != 1.0:
            torch._foreach_mul_(gradients(optimizer), factor)  # pyright: ignore[reportPrivateImportUsage]
        optimizer.step()
        optimizer.zero_grad()


def total_gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """L2 norm of all gradients of an optimizer's parameters; of divided ones the norm over all processes."""
    norm: Any = torch.nn.utils.get_total_norm(gradients(optimizer))
    return norm.full_tensor() if sharding.is_divided(norm) else norm


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The gradients of an optimizer's parameters that have one."""
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
