"""The training loop on models small enough to check by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kdrun.config.optim import OptimConfig
from kdrun.config.runtime import CheckpointSelection
from kdrun.data import transfer
from kdrun.data.batch import Batch
from kdrun.errors import TrainingError
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn, steps_by_role, turn_at
from tests.helpers.fake_training import Regress, RowFeed, make, same, weights

PLAIN_SGD = {"name": "sgd", "beta1": 0.0, "warmup_ratio": 0.0, "weight_decay": 0.0}


def test_accumulation_is_exact_over_ragged_batches() -> None:
    """21 rows as 8+8+5 in one step equal one batch of 21: sums divided by counts, not means of means."""
    full, one, a = make(optim={"batch_size": 21, "epochs": 20})
    parts, two, b = make(optim={"batch_size": 8, "gradient_accumulation_steps": 3, "epochs": 20})
    full.run()
    parts.run()
    assert len(one.steps) == len(two.steps) == 20
    losses = [[r["loss"] for r in w.steps] for w in (one, two)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for x, y in zip(weights(a.roles["student"]), weights(b.roles["student"]), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


class MayBeZero(Regress):
    """With two terms that may be zero at first; `late` is not after the fifth batch."""

    may_start_at_zero = frozenset({"never", "late"})

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        output = super().step(batch, turn)
        zero = torch.zeros(())
        return replace(output, loss_terms={**output.loss_terms, "never": zero, "late": zero + (batch.step > 4)})


def test_a_term_that_stays_zero_is_reported() -> None:
    loop, watcher, _ = make(MayBeZero)
    loop.run()
    assert watcher.first_steps[0].zero_terms == []
    assert watcher.zeros == [("fit", "student", ["never"])]


def test_first_step_equals_a_hand_written_step() -> None:
    loop, watcher, method = make(optim={"batch_size": 21, "steps": 1, **PLAIN_SGD})
    student, x = method.roles["student"], RowFeed().x
    assert isinstance(student, nn.Linear)
    before = student.weight.detach().clone()
    error = (x @ before.T)[:, 0] + student.bias.detach() - x.sum(dim=-1)
    loop.run()
    expected = before - 0.05 * (2 * error[:, None] * x).mean(dim=0, keepdim=True)
    torch.testing.assert_close(student.weight.detach(), expected)
    assert watcher.steps[0]["loss"] == pytest.approx(float(error.square().mean()), rel=1e-5)
    assert watcher.steps[0]["hard"] == watcher.steps[0]["loss"]


class TwoRoles(Regress):
    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        return [Phase("play", (Turn("generator", 2), Turn("student", 3)), steps=6, batch_size=8)]


def test_out_of_turn_roles_stay_bit_identical() -> None:
    loop, watcher, method = make(TwoRoles)
    changed: list[tuple[str, set[str]]] = []
    last = {role: weights(module) for role, module in method.roles.items()}
    original = watcher.on_log

    def look(record: dict[str, Any], total: int) -> None:
        moved = {role for role, module in method.roles.items() if not same(last[role], weights(module))}
        last.update({role: weights(module) for role, module in method.roles.items()})
        changed.append((record["role"], moved))
        original(record, total)

    watcher.on_log = look  # type: ignore[method-assign]
    outcome = loop.run()
    assert [role for role, _ in changed] == ["generator"] * 2 + ["student"] * 3 + ["generator"] * 2 + ["student"] * 3
    assert all(moved == {role} for role, moved in changed)
    assert outcome.steps == {"generator": 4, "student": 6}
    assert not any(p.requires_grad for module in method.roles.values() for p in module.parameters())


def test_each_role_has_a_schedule_over_its_steps() -> None:
    loop, watcher, _ = make(TwoRoles, optim={"warmup_ratio": 0.0})
    loop.run()
    rates = [r["lr"] for r in watcher.steps if r["role"] == "student"]
    np.testing.assert_allclose(rates, [0.05 * (1 - i / 6) for i in range(6)])


def test_the_budget_is_the_leading_roles_and_a_phase_ends_with_it() -> None:
    turns = (Turn("generator", 2), Turn("student", 3))
    assert steps_by_role(Phase("play", turns), 4) == {"generator": 4, "student": 4}
    assert steps_by_role(Phase("play", turns[:1]), 3) == {"generator": 3}
    assert Phase("play", turns[::-1]).leading_role == "student"


def test_the_students_rows_and_noise_do_not_depend_on_other_turns() -> None:
    class Alone(TwoRoles):
        @classmethod
        def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
            return [replace(super().phases(config, optim)[0], turns=(Turn("student"),))]

    def student_steps(method: type[Method]) -> list[tuple[list[int], str, int, float]]:
        steps: list[tuple[list[int], str, int, float]] = []

        class Looking(method):
            def step(self, batch: Batch, turn: Turn) -> StepOutput:
                if turn.role == "student":
                    steps.append((batch.ids.tolist(), batch.phase, batch.step, float(torch.rand(()))))
                return super().step(batch, turn)

        make(Looking)[0].run()
        return steps

    assert student_steps(TwoRoles) == student_steps(Alone)
    assert len(student_steps(Alone)) == 6


def test_records_are_of_one_role_each() -> None:
    """A record between turns must not average the losses of two roles."""
    loop, watcher, _ = make(TwoRoles)
    loop.context.settings.log_every = 4
    loop.run()
    assert [(r["step"], r["role"]) for r in watcher.steps] == [(7, "generator"), (8, "student"), (10, "student")]


def test_turns_repeat_in_order() -> None:
    turns = (Turn("a", 2), Turn("b", 1))
    assert [turn_at(turns, i).role for i in range(6)] == list("aabaab")


def test_epochs_give_steps_and_fractions_are_allowed() -> None:
    loop, watcher, _ = make(optim={"epochs": 1.5})
    loop.run()
    assert len(watcher.steps) == round(1.5 * 3)
    loop, watcher, _ = make(optim={"steps": 2})
    loop.run()
    assert len(watcher.steps) == 2


class WithProjection(Regress):
    """A method that trains another module with the student."""

    def __init__(self, config: Any, context: MethodContext) -> None:
        super().__init__(config, context)
        self.projection = nn.Linear(1, 1)

    def trainable(self, role: str) -> list[nn.Module]:
        return [self.roles[role], self.projection]

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        out = self.projection(self.roles[turn.role](batch.inputs["student"]["x"]))[:, 0]
        return StepOutput((out - batch.labels).square().sum(), len(batch.ids))


def test_modules_trained_with_the_student_are_restored_with_it() -> None:
    loop, watcher, method = make(WithProjection, scores=[0.1, 0.7, 0.2])
    assert isinstance(method, WithProjection)
    evaluated: list[list[torch.Tensor]] = []
    watcher.on_evaluate = lambda record, best: evaluated.append(weights(method.projection))  # type: ignore[method-assign]
    loop.run()
    assert len(evaluated) == 3
    assert same(weights(method.projection), evaluated[1])
    assert not same(evaluated[1], evaluated[2])


def test_the_best_checkpoint_is_restored_and_ties_go_to_the_latest() -> None:
    loop, watcher, method = make(scores=[0.5, 0.7, 0.7, 0.6], optim={"epochs": 4})
    evaluated: list[list[torch.Tensor]] = []
    watcher.on_evaluate = lambda record, best: evaluated.append(weights(method.roles["student"]))  # type: ignore[method-assign]
    outcome = loop.run()
    assert outcome.best == 0.7
    assert outcome.best_step == 9
    assert same(weights(method.roles["student"]), evaluated[2])
    assert not same(evaluated[2], evaluated[3])


def test_select_last_keeps_the_last() -> None:
    loop, watcher, method = make(scores=[0.9, 0.1], optim={"epochs": 2}, select=CheckpointSelection.last)
    evaluated: list[list[torch.Tensor]] = []
    watcher.on_evaluate = lambda record, best: evaluated.append(weights(method.roles["student"]))  # type: ignore[method-assign]
    loop.run()
    assert same(weights(method.roles["student"]), evaluated[-1])


def test_evaluates_every_n_steps_and_at_the_end() -> None:
    loop, watcher, _ = make(eval_every=4, optim={"steps": 10})
    loop.run()
    assert [record["step"] for record, _ in watcher.evals] == [4, 8, 10]


class Broken(Regress):
    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        out = super().step(batch, turn)
        return StepOutput(out.loss * float("nan"), out.count, {"hard": out.loss.detach()})


def test_non_finite_loss_stops_with_the_rows_named() -> None:
    loop, _, _ = make(Broken)
    with pytest.raises(TrainingError, match=r"step 1: the loss is nan .*rows \[0, 1, 2"):
        loop.run()


class Detached(Regress):
    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        free = torch.ones((), requires_grad=True)
        return StepOutput(free * 2, len(batch.ids))


def test_gradient_that_reaches_nothing_is_an_error() -> None:
    loop, _, _ = make(Detached)
    with pytest.raises(TrainingError, match=r"no gradient .*student"):
        loop.run()


def test_dropout_of_a_step_depends_on_seed_and_step_only() -> None:
    """The global generator is set before every step, so the noise of a step does not depend on earlier steps."""

    noise: list[float] = []

    class Noisy(Regress):
        def step(self, batch: Batch, turn: Turn) -> StepOutput:
            noise.append(float(torch.rand(())))
            return super().step(batch, turn)

    for burn in (0, 5):
        loop, _, _ = make(Noisy, optim={"steps": 3})
        torch.rand(burn)
        loop.run()
    assert noise[:3] == noise[3:]
    assert len(set(noise[:3])) == 3


def test_clipping_bounds_the_step() -> None:
    loop, watcher, _ = make(optim={"max_grad_norm": 1e-3, "steps": 1, **PLAIN_SGD})
    before = weights(loop.context.method.roles["student"])
    loop.run()
    moved = torch.cat(
        [(a - b).flatten() for a, b in zip(weights(loop.context.method.roles["student"]), before, strict=True)]
    )
    assert float(moved.norm()) == pytest.approx(0.05 * 1e-3, rel=1e-2)
    assert watcher.steps[0]["grad_norm"] > 1e-3


def test_many_short_epochs_are_not_scored_one_by_one() -> None:
    loop, watcher, _ = make(optim={"steps": 190})  # 3 steps an epoch
    loop.run()
    steps = [record["step"] for record, _ in watcher.evals]
    assert steps == list(range(10, 191, 10))
    loop, watcher, _ = make(optim={"steps": 12})
    loop.run()
    assert [record["step"] for record, _ in watcher.evals] == [3, 6, 9, 12]


class Tiring(Regress):
    """Two roles in turn; the second stops after some of its steps."""

    def __init__(self, config: Any, context: MethodContext) -> None:
        super().__init__(config, context)
        self.left = 3

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        return [Phase("fit", (Turn("generator", 2), Turn("student", 3)), steps=9, batch_size=8)]

    def stop_reason(self, role: str) -> str:
        if role == "student":
            return ""
        self.left -= 1
        return "" if self.left >= 0 else "it is tired"


def test_a_stopped_role_is_skipped_and_unchanged() -> None:
    """Three of six generator steps run; the student runs all its steps, at unchanged learning rates."""
    loop, watcher, method = make(Tiring)
    generator_weights: list[tuple[str, list[torch.Tensor]]] = []
    step = method.step

    def watched(batch: Batch, turn: Turn) -> StepOutput:
        generator_weights.append((turn.role, weights(method.roles["generator"])))
        return step(batch, turn)

    method.step = watched  # type: ignore[method-assign]
    outcome = loop.run()
    assert [role for role, _ in generator_weights] == ["generator"] * 2 + ["student"] * 3 + ["generator"] + [
        "student"
    ] * 6
    assert outcome.steps == {"generator": 3, "student": 9}
    assert outcome.stopped_roles == [{"role": "generator", "phase": "fit", "step": 6, "why": "it is tired"}]
    assert watcher.rests == outcome.stopped_roles
    after = [values for role, values in generator_weights if role == "student"][3:]
    assert all(same(values, weights(method.roles["generator"])) for values in after)
    rates = [r["lr"] for r in watcher.steps if r["role"] == "student"]
    other, undisturbed, _ = make(Tiring)
    other.context.method.stop_reason = lambda role: ""  # type: ignore[method-assign]
    other.run()
    assert rates == [r["lr"] for r in undisturbed.steps if r["role"] == "student"]


class Way(Regress):
    """Says how far its role is on its way."""

    seen: list[float]

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        self.seen = [*getattr(self, "seen", []), batch.progress]
        return super().step(batch, turn)


def test_a_batch_has_the_progress_of_its_role() -> None:
    loop, _, method = make(Way, optim={"steps": 4, "gradient_accumulation_steps": 2})
    loop.run()
    assert isinstance(method, Way)
    assert method.seen == [0.0, 0.0, 0.25, 0.5, 0.5, 0.75]  # an epoch of three micro-batches ends in half a step


def test_a_training_as_on_a_gpu_equals_one_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    trainings = []
    for is_gpu in (False, True):
        monkeypatch.setattr(transfer, "reads_wait", lambda device, is_gpu=is_gpu: is_gpu)
        loop, record, method = make(optim={"batch_size": 8, "epochs": 6, "max_grad_norm": 0.5}, eval_every=3)
        loop.run()
        trainings.append((record, weights(method.roles["student"])))
    (one, a), (two, b) = trainings
    for x, y in zip(one.steps, two.steps, strict=True):
        assert y["loss"] == pytest.approx(x["loss"], rel=1e-5)
        assert y["grad_norm"] == pytest.approx(x["grad_norm"], rel=1e-5)
    assert len(one.evals) == len(two.evals) > 1
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


def test_a_non_finite_loss_on_a_gpu_is_reported_before_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "reads_wait", lambda device: True)
    loop, record, _ = make(Broken, optim={"steps": 1})
    with pytest.raises(TrainingError, match=r"step 1: the loss is nan .*rows \[0, 1, 2"):
        loop.run()
    assert record.evals == []
