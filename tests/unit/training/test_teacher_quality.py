"""Which teachers are good enough to distill from."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kdrun.config.task import TaskConfig
from kdrun.errors import TrainingError
from kdrun.tasks.evaluator import Evaluator
from kdrun.training.teacher.quality import beats_baseline, below_chance_hint, check_teacher_quality, scale_warning

SST2 = TaskConfig(
    name="sst2", labels=["negative", "positive"], metrics=["accuracy"], headline="accuracy", rows={"dev": 1}
)
STSB = TaskConfig(name="stsb", range=[0, 5], metrics=["pearson"], headline="pearson", rows={"dev": 1})


def evaluation(task: TaskConfig, labels: Any, **teacher: Any) -> Any:
    config = SimpleNamespace(task=task, teacher=SimpleNamespace(**{"allow_weak": False, **teacher}))
    predictor: Any = None
    return SimpleNamespace(config=config, evaluator=Evaluator(task, {"dev": np.asarray(labels)}, predictor))


@pytest.mark.parametrize(
    ("value", "baseline", "beats"),
    [
        (0.53, 0.5, True),
        (0.519, 0.5, False),
        (1.0, 0.99, True),  # nothing is left above a perfect teacher
        (0.995, 0.99, True),
        (0.991, 0.99, False),
        (1.0, 1.0, False),
        (None, 0.0, False),
        (0.019, 0.0, False),
    ],
)
def test_a_gain_is_judged_by_the_room_above_the_baseline(value: float | None, baseline: float, beats: bool) -> None:
    assert beats_baseline(value, baseline) is beats


def test_a_perfect_teacher_of_a_lopsided_split_passes() -> None:
    dev = evaluation(SST2, [1] * 99 + [0])
    assert check_teacher_quality({"dev": {"accuracy": 1.0}}, dev) is None
    with pytest.raises(TrainingError, match=r"accuracy.*dev.*99\.0 %.*99\.0 %.*teacher\.allow_weak=true"):
        check_teacher_quality({"dev": {"accuracy": 0.99}}, dev)


def test_a_split_of_one_class_shows_nothing() -> None:
    with pytest.raises(TrainingError, match=r"100\.0 %.*all rows of dev have one answer"):
        check_teacher_quality({"dev": {"accuracy": 1.0}}, evaluation(SST2, [1, 1, 1]))
    allowed = evaluation(SST2, [1, 1, 1], allow_weak=True)
    assert "allow_weak=true" in str(check_teacher_quality({"dev": {"accuracy": 1.0}}, allowed))


def test_a_teacher_on_another_scale_is_named() -> None:
    rng = np.random.default_rng(0)
    gold = rng.uniform(0, 5, 200)
    scores = (gold + rng.normal(0, 0.4, 200))[:, None]
    dev = evaluation(STSB, gold)
    for factor, offset in ((0.2, 0.0), (20.0, 0.0), (1.0, 2.0)):
        warning = scale_warning({"dev": scores * factor + offset}, dev)
        assert warning is not None
        assert f"{gold.max():.2f}" in warning
        assert f"{(scores * factor + offset).max():.2f}" in warning
    weak = gold.mean() + 0.3 * (scores - gold.mean())
    unrelated = rng.normal(20, 1, (200, 1))
    for right in (scores, weak, unrelated, np.full((200, 1), 2.5)):
        assert scale_warning({"dev": right}, dev) is None
    assert scale_warning({"dev": np.zeros((3, 2))}, evaluation(SST2, [0, 1, 1])) is None


@pytest.mark.parametrize(
    ("task", "value", "part"),
    [
        (SST2, 0.1, "negative, positive"),
        (SST2, 0.45, ""),
        (SST2, None, ""),
        (replace(SST2, labels=["a", "b", "c", "d"]), 0.1, "a, b, c, d"),
        (replace(SST2, labels=["a", "b", "c", "d"]), 0.24, ""),
        (replace(SST2, headline="mcc", metrics=["mcc"]), -0.6, "id2label"),
        (replace(SST2, headline="mcc", metrics=["mcc"]), -0.05, ""),
        (STSB, -0.7, "scale"),
    ],
)
def test_a_teacher_far_below_chance_is_suspected_of_another_label_order(
    task: TaskConfig, value: float | None, part: str
) -> None:
    hint = below_chance_hint(value, task)
    assert part in hint
    assert (hint == "") == (part == "")


def test_the_suspicion_is_part_of_the_refusal() -> None:
    with pytest.raises(TrainingError, match="id2label"):
        check_teacher_quality({"dev": {"accuracy": 0.0}}, evaluation(SST2, [0, 1, 0, 1]))
