"""Weak teachers: rejected, or allowed with a warning."""

from types import SimpleNamespace
from typing import Any

import pytest

from kdrun.config.task import TaskConfig
from kdrun.errors import TrainingError
from kdrun.training.teacher.quality import MIN_GAIN_OVER_BASELINE, check_teacher_quality

TASK = TaskConfig(name="t", labels=["no", "yes"], metrics=["accuracy"], headline="accuracy", rows={"dev": 2, "test": 2})
BASELINE = 0.5


def check(score: float | None, *, allow_weak: bool = False, baseline: float | None = BASELINE) -> str | None:
    config = SimpleNamespace(task=TASK, teacher=SimpleNamespace(allow_weak=allow_weak))
    scores = {"dev": {"accuracy": baseline}, "test": {"accuracy": 0.0}}
    evaluation: Any = SimpleNamespace(config=config, evaluator=SimpleNamespace(split_baseline=scores.get))
    return check_teacher_quality({"dev": {"accuracy": score}, "test": {"accuracy": 1.0}}, evaluation)


def test_a_teacher_must_beat_the_baseline_on_the_first_dev_split() -> None:
    assert check(BASELINE + MIN_GAIN_OVER_BASELINE) is None
    with pytest.raises(TrainingError, match=r"accuracy on dev.*51\.0 %.*50\.0 %"):
        check(0.51)


def test_an_undefined_score_is_weak() -> None:
    with pytest.raises(TrainingError, match="undefined"):
        check(None)


def test_an_undefined_baseline_counts_as_zero() -> None:
    assert check(MIN_GAIN_OVER_BASELINE, baseline=None) is None


def test_a_weak_teacher_may_be_allowed_with_a_warning() -> None:
    assert "teacher.allow_weak=true" in (check(0.4, allow_weak=True) or "")
