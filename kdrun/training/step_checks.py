"""Checks on the first step of each role."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kdrun.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kdrun.methods.base import StepOutput


@dataclass(frozen=True)
class FirstStepReport:
    """What the first step of a role in a phase showed.

    Attributes:
        phase: name of the phase.
        role: whose turn it was.
        terms: value of each loss term, a mean over the examples.
        reached: parameter tensors of the role that got a gradient.
        unreached: names of those that got none, such as a pooler that the loss does not use.
        moved: whether the step changed any of its weights.
        zero_at_first: terms that the method lets start at zero.
    """

    phase: str
    role: str
    terms: dict[str, float]
    reached: int
    unreached: list[str] = field(default_factory=list)
    moved: bool = True
    zero_at_first: frozenset[str] = frozenset()

    @property
    def zero_terms(self) -> list[str]:
        """Loss terms that are exactly zero and should not be: switched off, or broken."""
        return [name for name, value in self.terms.items() if value == 0.0 and name not in self.zero_at_first]

    def warnings(self) -> list[str]:
        """What a user should look at, as sentences."""
        still = (
            f"phase {self.phase!r}: the {self.role}'s first step changed none of its weights; it learns nothing (is "
            "the learning rate too small, or the gradient zero?)"
        )
        return ([] if self.moved else [still]) + [
            f"phase {self.phase!r}: the {self.role}'s loss term {name!r} is exactly zero on its first batch; it "
            "teaches nothing (is its weight 0, or is the student the teacher?)"
            for name in self.zero_terms
        ]


def check_finite_loss(output: StepOutput, rows: list[int], where: tuple[str, str]) -> None:
    """Stop at a loss that is no number.

    Args:
        output: of a step.
        rows: numbers of its training rows.
        where: place in the training, and what there is to go back to, as the error's beginning and end.

    Raises:
        TrainingError: it is infinite or NaN.
    """
    if bool(output.loss.isfinite()):
        return
    terms = ", ".join(f"{name} {float(value):.4g}" for name, value in output.loss_terms.items())
    raise TrainingError(
        f"{where[0]}: the loss is {float(output.loss.detach())} ({terms}) on training rows {_few(rows)}; look at these "
        f"rows, lower the learning rate, or try runtime.precision=fp32{where[1]}"
    )


def check_finite_gradient(norm: float, rows: list[int], where: tuple[str, str]) -> None:
    """Stop at a gradient that is no number; arguments as of `must_be_finite_loss`.

    Raises:
        TrainingError: its norm is infinite or NaN.
    """
    if not math.isfinite(norm):
        raise TrainingError(
            f"{where[0]}: the gradient is not finite on training rows {_few(rows)}; a lower learning rate, clipping "
            f"(optim.max_grad_norm) or runtime.precision=fp32 may help{where[1]}"
        )


def weights_changed(before: Iterable[Tensor], after: Iterable[Tensor]) -> bool:
    """Whether a step changed any weight. Any number is a change to a zero, however small: those count by themselves
    only where there is no other weight.
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
    """Look at the gradients and modes that the first backward pass of a role left.

    Args:
        phase: name of the phase.
        role: whose turn it is.
        output: what its step returned.
        roles: all models.
        trainable: the modules this turn trains.
        zero_at_first: terms that may be zero now.

    Raises:
        TrainingError: the gradient reaches no parameter of the role, or one of another role, or a model that
            is not in its turn is in training mode (its dropout would make its answers random).
    """
    own = dict.fromkeys(p for module in trainable for p in module.parameters())
    if not any(p.grad is not None for p in own):
        raise TrainingError(
            f"phase {phase!r}: the loss sends no gradient to any parameter of the {role} in its own turn; the "
            "method's step() must compute its loss from that model"
        )
    named = {p: f"{who}.{name}" for who, module in roles.items() for name, p in module.named_parameters()}
    strays = [name for p, name in named.items() if p not in own and p.grad is not None]
    if strays:
        raise TrainingError(
            f"phase {phase!r}: in the {role}'s turn a gradient reached {len(strays)} parameters of others (the first "
            f"is {strays[0]}); they must be frozen in a turn that is not theirs"
        )
    training = [name for name, module in roles.items() if module.training and not set(module.parameters()) & set(own)]
    if training:
        raise TrainingError(f"phase {phase!r}: the {training[0]} is in training mode in the {role}'s turn")
    terms = {name: float(value.detach()) / output.count for name, value in output.loss_terms.items()}
    unreached = [named.get(p, "a module of the method") for p in own if p.grad is None]
    return FirstStepReport(phase, role, terms, len(own) - len(unreached), unreached, zero_at_first=zero_at_first)
