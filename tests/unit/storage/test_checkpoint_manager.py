"""Checkpoint manager: intervals, journal, fallback to older checkpoints."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kdrun.storage.checkpoint_files import CheckpointData
from kdrun.storage.checkpoint_manager import CheckpointManager


class Journal:
    """A log with a number of lines; a checkpoint that expects more lines than exist cannot be restored."""

    def __init__(self, lines: int) -> None:
        self.lines = lines

    def state(self) -> dict[str, Any]:
        return {"lines": self.lines}

    def missing_since(self, state: dict[str, Any]) -> str | None:
        return "lines are missing" if state["lines"] > self.lines else None

    def load_state(self, state: dict[str, Any]) -> None:
        self.lines = state.get("lines", 0)


def content(step: int) -> CheckpointData:
    return CheckpointData({"model": {"w": torch.tensor([float(step)])}}, {"phase": "train", "step": step})


def save_two(place: Path) -> None:
    manager = CheckpointManager(place, 0.0, 2, Journal(3))
    manager.save(content(1))
    manager.journal = Journal(5)
    manager.save(content(2))


def loaded_step(manager: CheckpointManager) -> int | None:
    loaded = manager.load_latest()
    return None if loaded is None else loaded.state["step"]


def test_the_newest_checkpoint_is_loaded_and_its_journal_restored(tmp_path: Path) -> None:
    save_two(tmp_path / "last")
    journal = Journal(9)
    manager = CheckpointManager(tmp_path / "last", 0.0, 2, journal)
    assert "no checkpoint" in manager.last
    assert loaded_step(manager) == 2
    assert journal.lines == 5
    assert "step 2" in manager.last


def test_a_checkpoint_ahead_of_the_journal_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_two(tmp_path / "last")
    journal = Journal(4)
    assert loaded_step(CheckpointManager(tmp_path / "last", 0.0, 2, journal)) == 1
    assert journal.lines == 3
    assert "lines are missing" in caplog.text


def test_damaged_checkpoints_leave_an_empty_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_two(tmp_path / "last")
    for path in tmp_path.glob("last*/state.json"):
        path.write_text("{}")
    journal = Journal(9)
    assert loaded_step(CheckpointManager(tmp_path / "last", 0.0, 2, journal)) is None
    assert journal.lines == 0
    assert caplog.text.count("state.json") == 2


def test_a_checkpoint_is_due_after_its_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    manager = CheckpointManager(tmp_path / "last", 60.0, 1)
    now = 159.0
    assert not manager.is_due
    now = 160.0
    assert manager.is_due
    manager.save(content(1))
    assert not manager.is_due
