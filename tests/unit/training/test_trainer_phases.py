"""Several phases in the trainer: unscored phases and shared budgets."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from kdrun.config.optim import OptimConfig
from kdrun.methods.phases import Phase, Turn, num_steps
from tests.helpers.fake_training import Regress, make, same, weights


class WarmUp(Regress):
    """A phase whose scores mean nothing, then one that is scored."""

    first_role = "student"

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        warm = Phase("warm", (Turn(cls.first_role),), steps=4, batch_size=8, evaluated=False)
        return [warm, Phase("fit", (Turn("student"),), steps=6, batch_size=8)]


def test_an_unscored_phase_is_not_evaluated_and_passes_on_its_last_weights() -> None:
    loop, watcher, method = make(WarmUp, scores=[0.7, 0.2, 0.1], eval_every=2)
    phase_weights: dict[str, list[torch.Tensor]] = {}
    watcher.on_evaluate = lambda record, best: phase_weights.setdefault(f"eval {record['step']}", weights(student))  # type: ignore[method-assign]
    watcher.on_phase_end_unscored = lambda record: (
        watcher.ends.append(record),
        phase_weights.setdefault("end", weights(student)),
    )  # type: ignore[method-assign]
    begun: list[list[torch.Tensor]] = []
    student = method.roles["student"]
    method.on_phase_start = lambda phase: begun.append(weights(student))  # type: ignore[method-assign]
    outcome = loop.run()
    assert watcher.ends == [{"phase": "warm", "step": 4, "role": "student"}]
    assert list(phase_weights) == ["end", "eval 2", "eval 4", "eval 6"]
    assert same(begun[1], phase_weights["end"])
    assert not same(begun[0], begun[1])
    assert (outcome.best, outcome.best_step) == (0.7, 2)
    assert same(weights(student), phase_weights["eval 2"])
    assert outcome.steps == {"student": 10}


def test_the_checkpoint_chosen_is_that_of_the_last_scored_phase() -> None:
    class ScoredThenOther(WarmUp):
        @classmethod
        def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
            warm, fit = super().phases(config, optim)
            return [fit, replace(warm, name="after", turns=(Turn("generator"),))]

    loop, _, method = make(ScoredThenOther, scores=[0.7, 0.2, 0.1], eval_every=2)
    outcome = loop.run()
    assert (outcome.best, outcome.best_step) == (0.7, 2)
    assert outcome.steps == {"student": 6, "generator": 4}
    single, _, other = make(WarmUp, scores=[0.7, 0.2, 0.1], eval_every=2)
    single.context.phases = single.context.phases[1:]
    single.run()
    assert same(weights(method.roles["student"]), weights(other.roles["student"]))


def test_a_student_whose_training_ends_unscored_is_refused() -> None:
    class EndsUnscored(WarmUp):
        @classmethod
        def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
            return super().phases(config, optim)[::-1]

    with pytest.raises(ValueError, match="phase 'warm' is the last to train the student"):
        make(EndsUnscored)


@pytest.mark.parametrize(
    ("rows", "epochs", "share"), [(21, 1.0, 0.5), (21, 3.0, 0.25), (17, 5.0, 0.3), (100, 1.0, 0.5)]
)
def test_parts_of_a_budget_add_up_to_the_whole(rows: int, epochs: float, share: float) -> None:
    """7 steps an epoch halved are 4 and 3, not twice round(3.5) = 4."""
    full = OptimConfig(epochs=epochs, batch_size=3)
    first = Phase("a", (), epochs * share, batch_size=3, evaluated=False)
    second = Phase("b", (), epochs * (1 - share), batch_size=3, epochs_before=epochs * share)
    assert num_steps(first, rows) + num_steps(second, rows) == num_steps(full, rows)
    assert num_steps(replace(second, steps=5), rows) == 5


@pytest.mark.parametrize(
    ("scores", "patience", "steps", "best"),
    [
        ([0.1, 0.2, 0.2, 0.1, 0.9], 2, 4, (0.2, 3)),  # a tie is no improvement, though its weights are kept
        ([0.3, 0.2, 0.4, 0.1, 0.1], 2, 5, (0.4, 3)),
        ([0.3, 0.2, 0.4], 1, 2, (0.3, 1)),
        ([None, None, 0.4], 2, 2, (None, None)),
        ([0.1 * i for i in range(9)], 1, 9, (0.8, 9)),
        ([0.9] + [0.1] * 8, None, 9, (0.9, 1)),
    ],
)
def test_early_stopping_counts_evaluations_without_a_better_score(
    scores: list[float | None], patience: int | None, steps: int, best: tuple[float | None, int | None]
) -> None:
    loop, record, _ = make(scores=scores, eval_every=1, optim={"patience": patience})
    result = loop.run()
    assert result.steps == {"student": steps}
    assert (result.best, result.best_step) == (pytest.approx(best[0]), best[1])
    assert [step["step"] for step in record.steps] == list(range(1, steps + 1))
    assert len(record.evals) == steps
    stops = [(stop["role"], stop["phase"], stop["step"]) for stop in result.stopped_roles]
    assert stops == ([("student", "fit", steps)] if steps < 9 else [])
    assert record.rests == result.stopped_roles


def test_early_stopping_logs_the_steps_since_the_last_record() -> None:
    loop, record, _ = make(scores=[0.2, 0.1], eval_every=2, optim={"patience": 1})
    loop.context.settings.log_every = 3
    assert loop.run().steps == {"student": 4}
    assert [step["step"] for step in record.steps] == [3, 4]
