"""Learned weights of training rows, equal in all processes.

It imports without torch, like `kdrun.methods.base`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kdrun.data.transfer import to_device
from kdrun.lazy import lazy_module
from kdrun.methods.shared.row_notes import RowNotes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_module("torch")

STEP_LENGTH = 0.01
"""Length of the change of the weights in a finite difference, as in DARTS (Liu et al. 2019, arXiv 1806.09055)."""


class RowWeights:
    """A score θ per training row; its weight is σ(θ), divided by the mean of all.

    Scores change only between two steps (`update`), so that a step reads the same weights in every micro-batch and in
    every process.

    Args:
        num_rows: number of training rows.

    Attributes:
        scores: θ, [rows].
    """

    def __init__(self, num_rows: int) -> None:
        self.scores = torch.zeros(num_rows)
        self._notes = RowNotes()

    def of(self, rows: Tensor) -> Tensor:
        """Weights of these rows, of mean 1 over all rows, [batch].

        Args:
            rows: numbers of the rows, [batch].
        """
        weights = self.scores.sigmoid()
        return to_device((weights / weights.mean())[rows.cpu()], rows.device)

    def is_among_highest(self, rows: Tensor, share: float) -> Tensor:
        """Whether the score of each row is among this share of the highest of all, ties included, [batch].

        Args:
            rows: numbers of the rows, [batch].
            share: above 0, at most 1.
        """
        count = max(1, int(share * len(self.scores)))
        lowest = self.scores.kthvalue(len(self.scores) - count + 1).values
        return to_device(self.scores[rows.cpu()] >= lowest, rows.device)

    def remember(self, rows: Tensor, changes: Tensor) -> None:
        """Note changes of scores for the next update.

        Args:
            rows: numbers of the rows, [batch].
            changes: what is added to their scores, [batch].
        """
        self._notes.add(rows, {"changes": changes.float()})

    def update(self) -> None:
        """Add the noted changes of all processes."""
        if (noted := self._notes.take()) is not None:
            self.scores[noted[0]] += noted[1]["changes"]

    def discard(self) -> None:
        """Forget the noted changes."""
        self._notes.discard()

    def state(self) -> dict[str, Tensor]:
        """The scores, for checkpoints."""
        return {"row_scores": self.scores}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: scores of another number of rows.
        """
        found = state["row_scores"]
        if found.shape != self.scores.shape:
            raise ValueError(f"row_scores of the checkpoint is {list(found.shape)}, not {list(self.scores.shape)}")
        self.scores.copy_(found)


def gradient_products(
    model: nn.Module,
    row_losses: Callable[[Callable[..., Any]], Tensor],
    objective: Callable[[Callable[..., Any]], Tensor],
) -> tuple[Tensor, Tensor]:
    """Product of the gradient of each row's loss with that of an objective: ⟨∇ℓᵢ(w), G⟩, G = ∇L(w).

    A step of gradient descent on Σ vᵢ · ℓᵢ with learning rate η changes L by −η · vᵢ · ⟨∇ℓᵢ, G⟩ per row, to first
    order. So the product is the derivative of L after this step by vᵢ, at v = 0, divided by −η. It is computed as a
    central difference of the losses, (ℓᵢ(w + εG) − ℓᵢ(w − εG))/(2ε) with ε = 0.01/‖G‖. This is exact up to ε², and
    needs no second derivatives, which fused attention does not have.

    Args:
        model: its weights are w; they stay as they are.
        row_losses: losses of the rows, [batch], given the model as a function.
        objective: L, a scalar, given the model as a function.

    Returns:
        The products, [batch], and L.
    """
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    loss = objective(model)
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    directions = {name: g for name, g in zip(weights, gradients, strict=True) if g is not None}
    norm = torch.stack([g.float().norm() for g in directions.values()]).norm()
    step = STEP_LENGTH / norm.clamp_min(1e-12)
    ends = []
    with torch.no_grad():
        for sign in (1, -1):
            moved = {name: weights[name] + sign * step * g for name, g in directions.items()}

            def call(*args: Any, moved: dict[str, Tensor] = moved, **inputs: Any) -> Any:
                return torch.func.functional_call(model, moved, args, inputs)

            ends.append(row_losses(call))
    return (ends[0] - ends[1]) / (2 * step), loss.detach()
