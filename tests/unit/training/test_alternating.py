"""Roles in turn: learning rates against transformers' schedule, weights against a plain loop."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import get_linear_schedule_with_warmup

from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import Method, StepOutput
from kdrun.methods.phases import Phase, ScheduleSpan, Turn, steps_by_role, turn_at
from kdrun.training.optim import learning_rate
from tests.helpers.fake_training import Regress, RowFeed, make

TURNS = (Turn("generator", 2), Turn("student", 5))
SPANS = list(ScheduleSpan)


def alternating(span: ScheduleSpan, generator: OptimizerConfig, **phase: Any) -> type[Method]:
    """A student that fits targets on rows that a generator shifts so that the student errs most, in float64."""

    class Alternating(Regress):
        @classmethod
        def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
            return [Phase("play", TURNS, batch_size=8, schedule_over=span, **phase)]

        def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
            return {"student": optim, "generator": generator}

        def step(self, batch: Batch, turn: Turn) -> StepOutput:
            assert batch.labels is not None
            loss = error(self.roles, batch.inputs["student"]["x"], batch.labels)
            return StepOutput(loss.sum() if turn.role == "student" else -loss.sum(), len(batch.ids))

    return Alternating


def error(roles: Any, x: Tensor, target: Tensor) -> Tensor:
    shifted = x.double() + roles["generator"](x.double()).tanh()
    return (roles["student"](shifted)[:, 0] - target.double()).square()


def in_transformers(config: OptimizerConfig, own: int, total: int, span: ScheduleSpan) -> list[float]:
    """Rates of a role whose schedule transformers plans, stepped once before and then in the role's turns.

    kdrun is one step ahead of transformers, whose first step has the rate 0 if there is a warm-up.
    """
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=config.lr)
    warmup = round(config.warmup_ratio * own) if config.warmup_steps is None else config.warmup_steps
    end = total if span is ScheduleSpan.all_batches else own
    schedule, rates = get_linear_schedule_with_warmup(optimizer, warmup + 1, end + 1), []
    for _ in range(own):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("warmup", [{"warmup_ratio": 0.0}, {"warmup_ratio": 0.2}, {"warmup_steps": 3}], ids=str)
def test_rates_are_those_of_a_schedule_stepped_in_the_roles_own_turns(
    span: ScheduleSpan, warmup: dict[str, Any]
) -> None:
    generator = OptimizerConfig(lr=0.02, **warmup)
    trainer, record, _ = make(alternating(span, generator, steps=33), optim=warmup)
    for module in trainer.context.method.roles.values():
        module.double()
    trainer.run()
    planned = steps_by_role(Phase("play", TURNS), 33)
    total = sum(planned.values())
    assert planned == {"generator": 14, "student": 33}
    for role, config in (("student", trainer.context.settings.optim), ("generator", generator)):
        rates = [step["lr"] for step in record.steps if step["role"] == role]
        np.testing.assert_allclose(rates, in_transformers(config, planned[role], total, span), rtol=1e-12, atol=1e-15)


def test_the_published_turns_end_at_the_published_shares_of_the_peak() -> None:
    """Ten steps of the generator to a hundred of the student: 3300 steps in all, as in MATE-KD's code."""
    planned = steps_by_role(Phase("train", (Turn("generator", 10), Turn("student", 100))), 3000)
    assert planned == {"generator": 300, "student": 3000}
    config = OptimizerConfig(lr=1.0, warmup_ratio=0.0)
    last = {role: learning_rate(config, steps - 1, steps, sum(planned.values())) for role, steps in planned.items()}
    assert last["student"] == pytest.approx(0.0912, abs=1e-4)
    assert last["generator"] == pytest.approx(0.9094, abs=1e-4)


def test_the_warm_up_is_a_share_of_the_roles_own_steps() -> None:
    """The generator has 300 of 3300 steps: a tenth of all of them would be more than it takes."""
    config = OptimizerConfig(lr=1.0, warmup_ratio=0.1)
    rates = [learning_rate(config, step, 300, 3300) for step in range(300)]
    assert rates.index(1.0) == 30


def batches(accumulate: int) -> Iterator[list[np.ndarray]]:
    """Micro-batches of each step of a role, passes over the rows without an end."""
    order = RowFeed().epoch_batches(8, 0, "", 0)
    return cycle([order[start : start + accumulate] for start in range(0, len(order), accumulate)])


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_twenty_alternating_steps_end_at_the_weights_of_a_plain_loop(span: ScheduleSpan, accumulate: int) -> None:
    generator = OptimizerConfig(lr=0.02, weight_decay=0.1, warmup_ratio=0.0, max_grad_norm=0.5)
    student: dict[str, Any] = {"lr": 0.05, "weight_decay": 0.01, "warmup_ratio": 0.25, "max_grad_norm": 1.0}
    method = alternating(span, generator, steps=14, gradient_accumulation_steps=accumulate)
    trainer, _, trained = make(method, optim=student)
    plain: dict[str, nn.Module] = {role: nn.Linear(3, 3 if role == "generator" else 1) for role in trained.roles}
    assert isinstance(trained.roles, dict)
    trained.roles["generator"] = nn.Linear(3, 3)
    for role, module in plain.items():
        trained.roles[role].double()
        module.double().load_state_dict(trained.roles[role].state_dict())
    trainer.run()

    planned, feed = steps_by_role(Phase("play", TURNS), 14), RowFeed()
    assert sum(planned.values()) == 20
    configs = {"student": OptimConfig(**student), "generator": generator}
    optimizers, rates, streams = {}, {}, {role: batches(accumulate) for role in planned}
    for role, config in configs.items():
        groups = [{"params": [plain[role].weight], "weight_decay": config.weight_decay},
                  {"params": [plain[role].bias], "weight_decay": 0.0}]  # fmt: skip
        optimizers[role] = torch.optim.AdamW(groups, lr=config.lr)
        rates[role] = iter(in_transformers(config, planned[role], 20, span))
    for step in range(20):
        role = turn_at(TURNS, step).role
        rows = np.concatenate(next(streams[role]))
        loss = error(plain, feed.x[rows], feed.x[rows].sum(dim=-1)).mean() * (1 if role == "student" else -1)
        plain[role].zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain[role].parameters(), configs[role].max_grad_norm)
        rate = next(rates[role])
        for group in optimizers[role].param_groups:
            group["lr"] = rate
        optimizers[role].step()
    for role in planned:
        for ours, expected in zip(trained.roles[role].parameters(), plain[role].parameters(), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
