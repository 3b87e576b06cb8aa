"""Checks that lag one step behind: same weights, same errors, no waiting."""

import pytest
import torch
from torch import nn

from kdrun.config.optim import OptimConfig
from kdrun.errors import TrainingError
from kdrun.methods.base import StepOutput
from kdrun.training.finite_checks import FiniteChecks, can_be_delayed
from kdrun.training.optim import UpdateRule
from kdrun.training.running_means import RunningMeans

WHERE = ("phase 'train', student's step 3", "; no checkpoint")


class Training:
    """Steps of a linear model on given inputs, as the trainer takes them."""

    def __init__(self, is_delayed: bool) -> None:
        torch.manual_seed(0)
        self.model, self.rule, self.checks = nn.Linear(3, 1), UpdateRule(), FiniteChecks(is_delayed)
        self.optimizer = self.rule.make_optimizer([self.model], OptimConfig(lr=0.1))
        self.norms: list[float] = []

    def step(self, *values: float, rows: tuple[int, ...] = (4, 7)) -> None:
        for value, row in zip(values, rows, strict=False):
            loss = self.model(torch.full((2, 3), value)).square().sum()
            self.checks.check_loss(StepOutput(loss, 2, {"hard": loss.detach()}), torch.tensor([row]), WHERE)
            loss.backward()
        count = 2 * len(values)
        norm = self.checks.gradient_norm(self.optimizer, 1, count, list(rows), WHERE)
        self.rule.step(self.optimizer, count, 0.5, norm)
        self.norms.append(float(norm))

    def weights(self) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])


def test_delayed_checks_train_the_same_weights() -> None:
    immediate, delayed = Training(is_delayed=False), Training(is_delayed=True)
    for training in (immediate, delayed):
        for value in (1.0, 0.1, 2.0):
            training.step(value, -value)
        training.checks.finish()
    assert delayed.norms == pytest.approx(immediate.norms)
    torch.testing.assert_close(delayed.weights(), immediate.weights())


def test_a_delayed_step_that_is_not_finite_changes_no_weight_and_is_named_in_the_next() -> None:
    training = Training(is_delayed=True)
    training.step(1.0, 1.0)
    before, state = training.weights(), training.optimizer.state[training.model.weight]["step"].clone()
    training.step(1.0, float("inf"), rows=(4, 7))
    assert torch.equal(training.weights(), before)
    assert training.optimizer.state[training.model.weight]["step"] == state
    with pytest.raises(TrainingError, match=r"step 3: the loss is (inf|nan).*hard.*rows \[7\].*no checkpoint"):
        training.step(1.0, 1.0)
    assert torch.equal(training.weights(), before)


def test_a_delayed_gradient_that_is_not_finite_is_named_at_the_end() -> None:
    training = Training(is_delayed=True)
    training.model.weight.register_hook(lambda gradient: gradient * torch.nan)
    training.step(1.0, 1.0)
    with pytest.raises(TrainingError, match=r"gradient is not finite on training rows \[4, 7\]"):
        training.checks.finish()
    training.checks.finish()  # reported once


def test_checks_at_once_stop_before_the_step() -> None:
    training = Training(is_delayed=False)
    before = training.weights()
    with pytest.raises(TrainingError, match=r"the loss is nan.*rows \[7\]"):
        training.step(1.0, float("inf"))
    assert torch.equal(training.weights(), before)


@pytest.mark.parametrize(
    ("device", "name", "delayed"), [("cuda", "adamw", True), ("cuda", "sgd", False), ("cpu", "adamw", False)]
)
def test_only_fused_optimizers_on_a_gpu_are_checked_later(device: str, name: str, delayed: bool) -> None:
    optimizer = UpdateRule().make_optimizer([nn.Linear(2, 1)], OptimConfig(name=name, lr=0.1))
    assert can_be_delayed(optimizer, torch.device(device)) is delayed


def test_the_last_facts_of_a_record_are_numbers() -> None:
    means = RunningMeans(last={"role": "student", "grad_norm": torch.tensor(2.0)}, count=1)
    assert means.record()["grad_norm"] == 2.0
    assert isinstance(means.last_values()["grad_norm"], float)
