"""Learned weights of generated rows (SunGen, Gao et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.lazy import lazy_module
from kdrun.methods.base import HasAuxiliaryLosses, Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.row_weights import RowWeights, gradient_products
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.config.optim import OptimConfig
else:
    torch = lazy_module("torch")

WEIGHTS, TRAIN = "weights", "train"
"""Phases: the search for the weights, and the training of a new student with them."""


@dataclass
class SunGenConfig:
    """Settings of SunGen."""

    name: str = setting("sungen", "registered method")
    search_fraction: float = setting(1.0, "steps of the search for weights, as a share of the run's", gt=0)
    warmup: float = setting(0.3, "share of these steps before the weights change", ge=0, lt=1)
    score_lr: float = setting(0.25, "change of a row's score θ for a product of mean size", gt=0)
    outer_share: float = setting(0.9, "share of the rows in the outer loss: those with the highest weights", gt=0, le=1)


@register("method", "sungen", config=SunGenConfig)
class SunGen(Method):
    """Learn a weight per row, then train a new student from the same initial weights:

        L = (1/n) · Σᵢ wᵢ · hard(S(xᵢ), yᵢ),  wᵢ = σ(θᵢ) / mean of σ(θ)

    Rows of generated text may have wrong labels. Phase `weights` trains a student on L, and in each step descends an
    outer loss in θ through one unrolled step of gradient descent on L:

        θᵢ ← θᵢ + score_lr · ⟨∇ℓᵢ, G⟩ / rms,  G = ∇ mean over the rows of the step of RCE(S(x), y)

    rms is the root mean square of the products of the micro-batch. RCE is the reverse cross-entropy, −Σ p(c) · log y(c)
    with log 0 = −A. It equals A · (1 − p(y)), so that a row with a wrong label adds at most A. A cancels. Rows outside
    the share `outer_share` of the highest weights are left out of it. Phase `train` starts again from the initial
    student, with fixed weights. There is no teacher.

    Differences:
        search_fraction: [ours] the student of phase `weights` trains on while the weights change. The code trains a new
            one for one epoch before each of 100 changes.
        warmup: [ours] gradients of an untrained student tell nothing about labels.
        score_lr: Adam's learning rate in the code. Here the products are scaled by their root mean square instead of
            Adam: a batch has a part of the rows, and momentum would move the others.
        outer_share: as the code's `--hard --threshold 0.9`.
        - G is the gradient on the rows of the micro-batch, in the code on 50,000 random rows. Steps with larger batches
            (optim.batch_size) have a less noisy G. As `loss=dist`, the method sees the micro-batch, so a change of its
            size changes the weights.
        - as in the code, G and ∇ℓᵢ are of the same weights, before the unrolled step. They are computed without dropout
            [ours], and ⟨∇ℓᵢ, G⟩ by a central difference [ours], where the code has second derivatives. In single
            precision it has about four digits: several processes agree with one to 1e-5, not 1e-8.
        - weights have a mean of 1 [ours], so that the learning rate keeps its meaning.

    Cost:
        student: one forward and one backward pass per row in phase `train`; in phase `weights` after the warmup two
            forward and one backward pass more, and one more forward pass.
    """

    requires = Requirements(teacher=False, regression=False, row_gradients=True)
    config: SunGenConfig

    def __init__(self, config: SunGenConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        self.weights = RowWeights(context.num_rows)
        self.initial = {name: value.detach().clone() for name, value in context.roles["student"].state_dict().items()}

    @classmethod
    def phases(cls, config: SunGenConfig, optim: OptimConfig) -> list[Phase]:
        """The search for weights, which is not evaluated, and the training."""
        turns = (Turn("student"),)
        search = Phase.from_budget(WEIGHTS, turns, optim, fraction=config.search_fraction, evaluated=False)
        return [search, Phase.from_budget(TRAIN, turns, optim)]

    def on_phase_start(self, phase: Phase) -> None:
        """Forget the rows of a step that was never finished."""
        self.weights.discard()

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed, weighted loss of one micro-batch; in phase `weights` also the products of its rows."""
        assert batch.labels is not None
        student, metrics = self.roles["student"], {}
        position = batch.position.step if batch.position is not None else batch.step
        if batch.phase == TRAIN and position == 0:
            student.load_state_dict(self.initial)  # before the first step of the phase, also of a resumed one
        if batch.phase == WEIGHTS and batch.progress >= self.config.warmup:
            metrics["outer"] = self._note_products(batch)
        weights = self.weights.of(batch.ids)
        losses = self.context.hard_loss(student(**batch.inputs["student"]).logits, batch.labels)
        loss = (weights * losses).sum()
        metrics["low_weight"] = (weights < 0.5).float().sum()
        return StepOutput(loss, len(batch.ids), {"hard": loss.detach()}, metrics)

    def _note_products(self, batch: Batch) -> Tensor:
        """Note the changes of the scores of a micro-batch; returns its summed outer loss."""
        student, inputs, labels = self.roles["student"], batch.inputs["student"], batch.labels
        assert labels is not None
        selected = self.weights.is_among_highest(batch.ids, self.config.outer_share)

        def row_losses(model: Callable[..., Any]) -> Tensor:
            return self.context.hard_loss(model(**inputs).logits.float(), labels)

        def outer(model: Callable[..., Any]) -> Tensor:
            values = reverse_cross_entropy(model(**inputs).logits.float(), labels)
            return (values * selected).sum() / selected.sum().clamp(min=1)

        with _without_dropout(student), torch.autocast(self.context.device.type, enabled=False):
            products, loss = gradient_products(student, row_losses, outer)
        if isinstance(student, HasAuxiliaryLosses):
            student.auxiliary_losses()  # those of these passes are no part of the step's
        size = products.square().mean().sqrt().clamp_min(1e-12)
        self.weights.remember(batch.ids, self.config.score_lr * products / size)
        return loss * len(batch.ids)

    def on_step_end(self, turn: Turn) -> None:
        """Change the scores of the rows of the step, those of all processes in each."""
        self.weights.update()

    def state(self) -> dict[str, Any]:
        """The scores."""
        return self.weights.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the scores."""
        self.weights.load_state(state)


def reverse_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Reverse cross-entropy with hard labels and log 0 = −1: 1 − softmax(logits)_y.

    Args:
        logits: [batch, classes].
        labels: class indices, [batch].

    Returns:
        Values in [0, 1], [batch].
    """
    return 1 - logits.softmax(dim=-1).gather(1, labels[:, None]).squeeze(1)


@contextmanager
def _without_dropout(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
