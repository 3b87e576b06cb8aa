"""Resume after a stop at any step or evaluation, without effect on results."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from kdrun import signals
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.config.runtime import CheckpointConfig, CheckpointSelection
from kdrun.data.batch import Batch
from kdrun.errors import CheckpointError, TrainingError
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.storage import checkpoint_files
from kdrun.storage.checkpoint_manager import CheckpointManager
from kdrun.training.trainer import Trainer, TrainerSettings
from tests.helpers.fake_training import Record, RowFeed


class Feed(RowFeed):
    """Rows in an order of each epoch's own, with a count of those that were read."""

    def __init__(self) -> None:
        super().__init__()
        self.rows_seen = np.zeros(self.num_rows, dtype=bool)

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        rows = np.random.default_rng([seed, epoch, len(phase)]).permutation(self.num_rows)
        return [rows[i : i + batch_size] for i in range(0, self.num_rows, batch_size)]

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        self.rows_seen[rows] = True
        return super().load_batch(rows, phase, step)

    def load_state(self, was_read: np.ndarray) -> None:
        self.rows_seen = was_read.copy()


class Everything(Method):
    """Two roles in turns, a projection in the first phase, dropout, a moving mean, and a phase without scores."""

    def __init__(self, config: Any, context: MethodContext) -> None:
        super().__init__(config, context)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.projection = nn.Linear(1, 1)
        self.name, self.mean, self.seen = "", torch.zeros(()), 0

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        turns = (Turn("generator", 2), Turn("student", 3))
        warm = Phase("warm", turns, steps=4, batch_size=8, gradient_accumulation_steps=2, evaluated=False)
        return [warm, Phase("fit", turns, steps=7, batch_size=4), Phase("end", (Turn("student"),), steps=3)]

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
        return {"student": optim, "generator": OptimizerConfig(name="sgd", lr=0.01, beta1=0.0)}

    def on_phase_start(self, phase: Phase) -> None:
        self.name = phase.name

    def trainable(self, role: str) -> list[nn.Module]:
        return [self.roles[role], *([self.projection] if role == "student" and self.name == "warm" else [])]

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "seen": self.seen}

    def load_state(self, state: Any) -> None:
        self.mean, self.seen = state["mean"], state["seen"]

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        assert batch.labels is not None
        out = self.roles[turn.role](batch.inputs["student"]["x"])
        out = self.projection(out) if self.name == "warm" and turn.role == "student" else out
        error = (torch.dropout(out[:, 0], 0.3, True) - batch.labels - self.mean).square().sum()
        self.mean, self.seen = 0.9 * self.mean + 0.01 * out.detach().mean(), self.seen + 1
        return StepOutput(error, len(batch.ids), {"hard": error.detach()}, {"rows": torch.tensor(len(batch.ids))})


@dataclass
class Journal:
    """A recorder of callbacks that can return to an earlier state."""

    record: Record = field(default_factory=Record)

    def state(self) -> dict[str, Any]:
        return {"steps": len(self.record.steps), "evals": len(self.record.evals)}

    def missing_since(self, state: dict[str, Any]) -> str | None:
        return None if state["steps"] <= len(self.record.steps) else "steps are missing"

    def load_state(self, state: dict[str, Any]) -> None:
        del self.record.steps[state.get("steps", 0) :], self.record.evals[state.get("evals", 0) :]


@pytest.fixture(autouse=True)
def no_other_warnings(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail on warnings that the test does not clear."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def make(
    place: Path | None, journal: Journal, check: Callable[[], None] = lambda: None, **changes: Any
) -> tuple[Trainer, Everything]:
    torch.manual_seed(3)
    roles: dict[str, nn.Module] = {"student": nn.Linear(3, 1), "generator": nn.Linear(3, 1)}
    parts = MethodContext(roles, None, None, lambda a, b: a, 1, torch.device("cpu"))  # type: ignore[arg-type]
    method = Everything(None, parts)

    def evaluate() -> tuple[float, dict[str, Any]]:
        check()
        # a score that has its best in the middle of a phase
        score = float(roles["student"](RowFeed().x).detach().mul(200).sin().mean())
        return score, {"dev": {"m": score}}

    keeper = None
    if place is not None:
        config = CheckpointConfig(every_seconds=changes.pop("every", 0.0))
        keeper = CheckpointManager(place, config.every_seconds, config.keep_last, journal)
    optim = OptimConfig(lr=0.05, batch_size=8, patience=changes.pop("patience", None))
    settings = TrainerSettings(optim, seed=1, log_every=3, eval_every=2, **changes)
    arguments = method, method.phases(method.config, settings.optim), Feed(), settings, Accelerator(cpu=True), evaluate
    return Trainer(*arguments, journal.record, keeper), method  # type: ignore[arg-type]


def final_state(loop: Trainer, method: Everything, journal: Journal) -> dict[str, Any]:
    outcome = {k: v for k, v in vars(loop.context.result).items() if k != "train_seconds"}
    logged = [{k: v for k, v in record.items() if k != "examples_per_s"} for record in journal.record.steps]
    weights = [p.tolist() for m in (*method.roles.values(), method.projection) for p in m.parameters()]
    return {
        "weights": weights[:-2],  # the projection's are nothing that is left after its phase
        "outcome": outcome,
        "logged": logged,
        "evals": journal.record.evals,
        "state": (method.mean.tolist(), method.seen),
        "read": loop.context.loader.rows_seen.tolist(),
    }


def after(count: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets somebody ask to stop after so many steps."""
    real, done = Trainer.checkpoint_if_due, [0]

    def breathe(self: Trainer, stretch: Any) -> None:
        done[0] += 1
        if done[0] == count:
            signals._state.number = 15
        real(self, stretch)

    monkeypatch.setattr(Trainer, "checkpoint_if_due", breathe)
    return lambda: monkeypatch.setattr(Trainer, "checkpoint_if_due", real)


STEPS = 24


@pytest.mark.parametrize(
    ("select", "patience"), [*((select, None) for select in CheckpointSelection), (CheckpointSelection.best_dev, 1)]
)
def test_stopped_after_every_single_step(
    select: CheckpointSelection, patience: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal()
    loop, method = make(None, journal, select=select, patience=patience)
    loop.run()
    expected = final_state(loop, method, journal)
    stops_early = [stop["phase"] for stop in expected["outcome"]["stopped_roles"]]
    assert (stops_early != []) == (patience is not None)
    if patience is None:
        assert expected["outcome"]["steps"] == {"generator": 10, "student": 14}
    assert False in [is_best for _, is_best in expected["evals"]]
    journal = Journal()
    stops = 0
    for _ in range(STEPS + 1):  # each goes one step further
        loop, method = make(tmp_path / "last", journal, select=select, patience=patience, every=1e9)
        restore = after(1, monkeypatch)
        try:
            loop.run()
        except signals.StopRequested:
            stops += 1
        else:
            break
        finally:
            restore()
    assert stops == sum(expected["outcome"]["steps"].values())
    assert final_state(loop, method, journal) == expected


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_point_resumes_with_equal_results(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like SIGKILL: what was not saved is lost, in a step, between two or in an evaluation."""

    class Killed(BaseException):
        pass

    journal = Journal()
    loop, method = make(None, journal)
    loop.run()
    expected, draw, kills = final_state(loop, method, journal), np.random.default_rng(seed), 0

    def strike() -> None:
        if draw.random() < 0.15:
            raise Killed

    journal = Journal()
    real = Everything.step
    monkeypatch.setattr(Everything, "step", lambda self, batch, turn: (real(self, batch, turn), strike())[0])
    while True:
        every = float(draw.choice([0.0, 2e-3]))
        loop, method = make(tmp_path / "last", journal, strike, every=every)
        try:
            loop.run()
            break
        except Killed:
            kills += 1
    assert kills >= 2
    assert final_state(loop, method, journal) == expected


def test_a_signal_stops_an_evaluation_which_is_then_repeated(tmp_path: Path) -> None:
    journal = Journal()
    loop, method = make(None, journal)
    loop.run()
    expected, calls = final_state(loop, method, journal), [0]

    def ask() -> None:
        calls[0] += 1
        if calls[0] == 2:
            assert not signals._state.is_deferred
            raise signals.StopRequested(15)

    journal = Journal()
    loop, _ = make(tmp_path / "last", journal, ask, every=1e9)
    with pytest.raises(signals.StopRequested):
        loop.run()
    state = checkpoint_files.read_checkpoint(tmp_path / "last").state
    assert (state["phase"], state["is_pending"]) == ("fit", True)
    loop, method = make(tmp_path / "last", journal)
    loop.run()
    assert final_state(loop, method, journal) == expected


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    loop, method = make(None, journal)
    loop.run()
    expected = final_state(loop, method, journal)
    journal = Journal()
    restore = after(9, monkeypatch)
    with pytest.raises(signals.StopRequested):
        make(tmp_path / "last", journal)[0].run()
    restore()
    newest = tmp_path / "last" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\xff")
    loop, method = make(tmp_path / "last", journal)
    loop.run()
    (message,) = caplog.messages
    assert "model.safetensors" in message
    assert "checksum" in message
    caplog.clear()
    assert final_state(loop, method, journal) == expected


def test_training_restarts_without_a_valid_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    restore = after(9, monkeypatch)
    with pytest.raises(signals.StopRequested):
        make(tmp_path / "last", journal)[0].run()
    restore()
    assert len(journal.record.steps) > 1
    for folder in checkpoint_files.list_checkpoints(tmp_path / "last"):
        (folder / "rest.safetensors").unlink()
    loop, method = make(tmp_path / "last", journal)
    loop.run()
    assert len(caplog.messages) == 2
    caplog.clear()
    again = Journal()
    other, its_method = make(None, again)
    other.run()
    assert final_state(loop, method, journal) == final_state(other, its_method, again)


def test_a_log_that_is_shorter_than_it_was_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    restore = after(9, monkeypatch)
    with pytest.raises(signals.StopRequested):
        make(tmp_path / "last", journal)[0].run()
    restore()
    journal.record.steps.clear()
    make(tmp_path / "last", journal)[0].run()
    assert ["steps are missing" in message for message in caplog.messages] == [True, True]
    caplog.clear()


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restore = after(3, monkeypatch)
    with pytest.raises(signals.StopRequested):
        make(tmp_path / "last", Journal())[0].run()
    restore()
    journal = Journal()
    loop, method = make(tmp_path / "last", Journal(journal.record))
    loop.checkpoints.journal = None  # type: ignore[union-attr]
    method.roles["student"] = nn.Linear(4, 1)  # type: ignore[index]
    with pytest.raises(CheckpointError, match="student is from another model: they differ in weight"):
        loop.run()


def test_a_loss_that_is_no_number_names_rows_and_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Everything.step, [0]

    def breaks(self: Everything, batch: Batch, turn: Turn) -> StepOutput:
        calls[0] += 1
        out = real(self, batch, turn)
        return StepOutput(out.loss * float("inf"), out.count, out.loss_terms) if calls[0] == 8 else out

    monkeypatch.setattr(Everything, "step", breaks)
    pattern = (
        r"phase 'warm', student's step 5: the loss is inf .*rows \[\d.*last checkpoint is from phase 'warm', step 4 \("
    )
    with pytest.raises(TrainingError, match=pattern):
        make(tmp_path / "last", Journal())[0].run()


def test_a_gradient_that_is_no_number_stops_before_it_is_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is a number: the square root of zero, whose slope is none."""
    real, calls = Everything.step, [0]

    def breaks(self: Everything, batch: Batch, turn: Turn) -> StepOutput:
        calls[0] += 1
        out = real(self, batch, turn)
        return StepOutput((out.loss - out.loss.detach()).sqrt(), out.count, out.loss_terms) if calls[0] == 8 else out

    monkeypatch.setattr(Everything, "step", breaks)
    pattern = r"student's step 5: the gradient is not finite.*rows \[\d.*checkpoint is from phase 'warm', step 4 \("
    with pytest.raises(TrainingError, match=pattern):
        make(tmp_path / "last", Journal())[0].run()
