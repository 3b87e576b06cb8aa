"""Checks on the first step of each role."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdrun.errors import TrainingError
from kdrun.sharding import is_divided

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdrun.methods.base import StepOutput


@dataclass(frozen=True)
class FirstStepReport:
    """Result of the checks on the first step of a role in a phase.

    Attributes:
        phase: name of the phase.
        role: whose turn it was.
        terms: value of each loss term, a mean over the examples.
        num_with_gradient: number of the role's parameter tensors with a gradient.
        without_gradient: names of the other tensors, such as a pooler that the loss does not use.
        weights_changed: whether the step changed any weight of the role.
        zero_at_first: terms that the method lets start at zero.
        seconds: duration of the step, up to the end of its optimizer step.
    """

    phase: str
    role: str
    terms: dict[str, float]
    num_with_gradient: int
    without_gradient: list[str] = field(default_factory=list)
    weights_changed: bool = True
    zero_at_first: frozenset[str] = frozenset()
    seconds: float = 0.0

    @property
    def zero_terms(self) -> list[str]:
        """Loss terms that are exactly zero and may not start at zero: switched off, or broken."""
        return [name for name, value in self.terms.items() if value == 0.0 and name not in self.zero_at_first]

    def warnings(self) -> list[str]:
        """Warnings for the user, as sentences."""
        no_change = (
            f"phase {self.phase!r}: the first step changed no weight of the {self.role}; check the learning rate and "
            "the gradient"
        )
        return ([] if self.weights_changed else [no_change]) + [
            f"phase {self.phase!r}: the {self.role}'s loss term {name!r} is exactly zero on the first batch; check its "
            "weight, and that student and teacher differ"
            for name in self.zero_terms
        ]


def check_finite_loss(output: StepOutput, rows: list[int], where: tuple[str, str]) -> None:
    """Raise an error for a loss that is not finite.

    Args:
        output: a step's losses.
        rows: numbers of the step's training rows.
        where: beginning and end of the error message: the phase and step, and the last checkpoint.

    Raises:
        TrainingError: the loss is infinite or NaN.
    """
    if bool(output.loss.isfinite()):
        return
    terms = ", ".join(f"{name} {float(value):.4g}" for name, value in output.loss_terms.items())
    raise TrainingError(
        f"{where[0]}: the loss is {float(output.loss.detach())} ({terms}) on training rows {_few(rows)}; check these "
        f"rows, lower the learning rate, or try runtime.precision=fp32{where[1]}"
    )


def check_finite_gradient(norm: float, rows: list[int], where: tuple[str, str]) -> None:
    """Raise an error for a gradient that is not finite; arguments as in `check_finite_loss`.

    Raises:
        TrainingError: the norm is infinite or NaN.
    """
    if not math.isfinite(norm):
        raise TrainingError(
            f"{where[0]}: the gradient is not finite on training rows {_few(rows)}; a lower learning rate, clipping "
            f"(optim.max_grad_norm) or runtime.precision=fp32 may help{where[1]}"
        )


def check_evenly_divided(groups: Iterable[Mapping[str, Any]], phase: str, role: str) -> None:
    """Check that the weights of an optimizer are all divided among the processes, or none.

    Raises:
        TrainingError: some are, and others are whole.
    """
    if len({is_divided(parameter) for group in groups for parameter in group["params"]}) > 1:
        raise TrainingError(
            f"phase {phase!r}: the {role} is divided among the processes, and the method trains a whole module with "
            "it; set runtime.shard=none"
        )


def weights_changed(before: Iterable[Tensor], after: Iterable[Tensor]) -> bool:
    """Whether a step changed any weight.

    Any update changes a weight of zero, however small the update is, so weights of zero count only if all are zero.
    """
    pairs = [(a, a != b) for a, b in zip(before, after, strict=True)]
    if any(bool(a.any()) for a, _ in pairs):
        return any(bool((changed & (a != 0)).any()) for a, changed in pairs)
    return any(bool(changed.any()) for _, changed in pairs)


def _few(rows: list[int]) -> str:
    return f"{rows[:16]}{' …' if len(rows) > 16 else ''}"


def check_first_step(
    phase: str,
    role: str,
    output: StepOutput,
    roles: Mapping[str, nn.Module],
    trainable: Iterable[nn.Module],
    zero_at_first: frozenset[str] = frozenset(),
) -> FirstStepReport:
    """Check gradients and training modes after the first backward pass of a role.

    Args:
        phase: name of the phase.
        role: whose turn it is.
        output: losses of the step.
        roles: all models.
        trainable: the modules that this turn trains.
        zero_at_first: terms that may start at zero.

    Raises:
        TrainingError: no parameter of the role has a gradient, or a parameter of another role has one, or a model
            out of its turn is in training mode (its dropout would make its outputs random).
    """
    parameters = dict.fromkeys(p for module in trainable for p in module.parameters())
    if not any(p.grad is not None for p in parameters):
        raise TrainingError(
            f"phase {phase!r}: the loss has no gradient in any parameter of the {role} in the {role}'s turn; "
            "the method's step() must compute the loss from that model"
        )
    names = {p: f"{owner}.{name}" for owner, module in roles.items() for name, p in module.named_parameters()}
    foreign = [name for p, name in names.items() if p not in parameters and p.grad is not None]
    if foreign:
        raise TrainingError(
            f"phase {phase!r}: in the {role}'s turn {len(foreign)} parameters of other roles have a gradient (the "
            f"first is {foreign[0]}); freeze them in turns of other roles"
        )
    training = [
        name for name, module in roles.items() if module.training and not set(module.parameters()) & set(parameters)
    ]
    if training:
        raise TrainingError(
            f"phase {phase!r}: the {training[0]} is in training mode in the {role}'s turn; put it in eval mode"
        )
    terms = {name: float(value.detach()) / output.count for name, value in output.loss_terms.items()}
    without_gradient = [names.get(p, "a module of the method") for p in parameters if p.grad is None]
    return FirstStepReport(
        phase, role, terms, len(parameters) - len(without_gradient), without_gradient, zero_at_first=zero_at_first
    )
