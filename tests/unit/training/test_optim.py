"""Optimizers by name and learning rates by hand."""

import pytest
import torch
from torch import nn

from kdrun import registry
from kdrun.config.optim import OptimConfig
from kdrun.training.optim import FUSED, learning_rate, parameter_groups


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ("linear", [1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25]),
        ("cosine", [1 / 3, 2 / 3, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_warm_up_then_schedule(schedule: str, expected: list[float]) -> None:
    config = OptimConfig(lr=1.0, schedule=schedule, warmup_steps=2)
    assert [learning_rate(config, step, 6) for step in range(6)] == pytest.approx(expected, abs=1e-6)


def test_warm_up_ratio_counts_the_roles_steps() -> None:
    config = OptimConfig(lr=1.0, warmup_ratio=0.1)
    assert learning_rate(config, 0, 100) == pytest.approx(1 / 11)
    assert learning_rate(config, 10, 100) == 1.0


def test_norms_and_biases_do_not_decay_and_shared_weights_count_once() -> None:
    first = nn.Linear(3, 4)
    groups = parameter_groups([nn.Sequential(first, nn.LayerNorm(4)), first], 0.1)
    assert [len(group["params"]) for group in groups] == [1, 3]  # type: ignore[arg-type]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_every_optimizer_takes_a_step(name: str) -> None:
    model = nn.Linear(3, 1)
    optimizer = registry.build("optimizer", name, [model], OptimConfig(lr=0.1))
    assert bool(optimizer.defaults.get("fused")) is (name in FUSED)
    before = model.weight.detach().clone()
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.weight)
