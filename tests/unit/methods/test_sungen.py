"""SunGen: products of gradients against autograd, weights of wrong labels, state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdrun import losses
from kdrun.config.optim import OptimConfig
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Turn, check_last_phase_evaluated
from kdrun.methods.shared.row_weights import RowWeights, gradient_products
from kdrun.methods.sungen import TRAIN, WEIGHTS, SunGen, SunGenConfig, reverse_cross_entropy

TASK = TaskConfig(name="t", text=["text"], labels=["a", "b"], metrics=["accuracy"])
STUDENT = Turn("student")


class Classifier(nn.Module):
    """A small network on vectors, called like a model."""

    def __init__(self, dtype: torch.dtype = torch.float32, width: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.last = nn.Linear(2, width, dtype=dtype), nn.Linear(width, 2, dtype=dtype)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)

    def forward(self, x: Tensor) -> Any:
        return SimpleNamespace(logits=self.last(self.first(x).tanh()))


def rows(count: int, wrong: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Two clouds of points with their classes; the first labels are wrong."""
    labels = torch.arange(count) % 2
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(1), dtype=dtype) / 2
    x[:, 0] += 2.0 * labels - 1
    return x, torch.where(torch.arange(count) < wrong, 1 - labels, labels)


def method(model: nn.Module, count: int, **settings: Any) -> SunGen:
    device = torch.device("cpu")
    context = MethodContext({"student": model}, TASK, None, losses.hard_loss(False), 1, device, num_rows=count)
    return SunGen(SunGenConfig(**settings), context)


def batch(x: Tensor, labels: Tensor, phase: str = WEIGHTS, step: int = 1) -> Batch:
    return Batch(torch.arange(len(x)), {"student": {"x": x}}, labels, phase=phase, step=step, progress=0.5)


def test_products_are_the_gradient_through_an_unrolled_step() -> None:
    model, (x, labels) = Classifier(torch.float64), rows(6, 2, torch.float64)
    weights, rate = dict(model.named_parameters()), 0.1

    def row_losses(call: Any) -> Tensor:
        return nn.functional.cross_entropy(call(x=x).logits, labels, reduction="none")

    def outer(call: Any) -> Tensor:
        return reverse_cross_entropy(call(x=x).logits, labels).mean()

    v = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad((v * row_losses(model)).sum(), list(weights.values()), create_graph=True)
    moved = {name: w - rate * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
    after = outer(lambda **inputs: torch.func.functional_call(model, moved, (), inputs))
    (expected,) = torch.autograd.grad(after, v)

    before = [weight.detach().clone() for weight in model.parameters()]
    products, loss = gradient_products(model, row_losses, outer)
    torch.testing.assert_close(-rate * products, expected, rtol=1e-4, atol=1e-8)
    assert loss.item() == pytest.approx(outer(model).item())
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    assert all(weight.grad is None for weight in model.parameters())


def test_reverse_cross_entropy_by_hand() -> None:
    logits, labels, log_zero = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([0, 0]), -7.0
    p, one_hot = logits.softmax(dim=-1), nn.functional.one_hot(labels, 2)
    expected = -(p * torch.where(one_hot == 1, 0.0, log_zero)).sum(dim=-1)
    torch.testing.assert_close(7.0 * reverse_cross_entropy(logits, labels), expected)


def test_rows_with_wrong_labels_get_lower_weights() -> None:
    model, (x, labels) = Classifier(), rows(64, 8)
    learner, optimizer = method(model, 64), torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(25):
        optimizer.zero_grad()
        (learner.step(batch(x, labels), STUDENT).loss / 64).backward()
        optimizer.step()
        learner.on_step_end(STUDENT)
    weights = learner.weights.of(torch.arange(64))
    assert weights[:8].mean() < 0.5 * weights[8:].mean()
    assert weights.mean().item() == pytest.approx(1.0)


def test_weights_stay_in_the_warmup_and_in_the_training() -> None:
    model, (x, labels) = Classifier(), rows(8, 2)
    learner = method(model, 8, warmup=0.6)
    for phase in (WEIGHTS, TRAIN):
        output = learner.step(batch(x, labels, phase), STUDENT)
        learner.on_step_end(STUDENT)
        assert set(output.metrics) == {"low_weight"}
    assert not learner.weights.scores.any()
    expected = losses.hard_loss(False)(model(x).logits, labels).sum()
    assert output.loss.item() == pytest.approx(expected.item())


def test_the_training_starts_from_the_initial_student() -> None:
    model, (x, labels) = Classifier(), rows(8, 2)
    learner, first = method(model, 8), [weight.detach().clone() for weight in model.parameters()]
    with torch.no_grad():
        model.last.weight.add_(1.0)
    learner.step(batch(x, labels, TRAIN, step=3), STUDENT)
    assert not torch.equal(model.last.weight, first[2])  # a later step, as of a resumed run
    learner.step(batch(x, labels, TRAIN, step=0), STUDENT)
    assert all(torch.equal(*pair) for pair in zip(first, model.parameters(), strict=True))


def test_phases_and_state() -> None:
    phases = SunGen.phases(SunGenConfig(search_fraction=0.5), OptimConfig(steps=10))
    assert [(phase.name, phase.steps, phase.evaluated) for phase in phases] == [(WEIGHTS, 5, False), (TRAIN, 10, True)]
    check_last_phase_evaluated(phases)
    weights, other = RowWeights(4), RowWeights(4)
    weights.remember(torch.tensor([2, 0]), torch.tensor([1.0, -1.0]))
    weights.update()
    other.load_state(weights.state())
    assert other.scores.tolist() == [-1.0, 0.0, 1.0, 0.0]
    assert other.is_among_highest(torch.arange(4), 0.25).tolist() == [False, False, True, False]
    assert other.is_among_highest(torch.arange(4), 0.5).tolist() == [False, True, True, True]  # a tie
    with pytest.raises(ValueError, match=r"row_scores.*\[4\].*\[3\]"):
        RowWeights(3).load_state(weights.state())
