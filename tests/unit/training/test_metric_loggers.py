"""Trackers: off by default, named when missing, same values as metrics.jsonl."""

import importlib.util
from typing import Any

import pytest

from kdrun.config import compose
from kdrun.config.runtime import Tracker
from kdrun.errors import ConfigError
from kdrun.training import metric_loggers


def test_a_missing_package_is_named_before_anything_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tracker=wandb needs the package wandb: pip install 'kdrun\[wandb\]'"):
        metric_loggers.check_installed(Tracker.wandb)
    metric_loggers.check_installed(Tracker.none)


class Recorder:
    """A fake of Accelerate's tracking."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, Any], int]] = []

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((values, step))


def test_records_are_named_by_what_they_are_of() -> None:
    recorder: Any = Recorder()
    tracking = metric_loggers.MetricLogger(compose.load_config([]), recorder, "run")
    tracking.active = True
    tracking.log({"step": 3, "role": "student", "phase": "train", "loss": 0.5, "lr": 1e-3})
    tracking.log({"step": 3, "phase": "train", "eval": {"dev": {"accuracy": 0.75, "f1": None}}})
    tracking.log({"step": 1, "role": "student", "phase": "second", "loss": 0.25})
    tracking.log({"step": 2, "phase": "second", "eval": {"dev": {"accuracy": 1.0}}})
    assert recorder.logged == [
        ({"student/loss": 0.5, "student/lr": 1e-3}, 3),
        ({"eval/dev.accuracy": 0.75}, 3),
        ({"student/loss": 0.25}, 4),
        ({"eval/dev.accuracy": 1.0}, 5),
    ]
