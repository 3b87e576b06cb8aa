"""Probabilities as logits, the rest of top-k rows, and averages of teachers."""

import numpy as np
import pytest

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data.recorded.outputs import MIN_PROBABILITY, average, logits_of, probabilities_of, spread_rest

CLASSES = TaskConfig(name="own", labels=["a", "b", "c"])
LABEL_SETS = TaskConfig(name="own", labels=["a", "b", "c"], kind=TaskKind.multi_label)
SCORE = TaskConfig(name="own", range=[0, 5])
NAN = float("nan")


@pytest.mark.parametrize("task", [CLASSES, LABEL_SETS])
def test_the_probabilities_of_the_logits_are_the_probabilities(task: TaskConfig) -> None:
    given = np.array([[0.7, 0.2, 0.1], [0.98, 0.01, 0.01]])
    assert probabilities_of(logits_of(given, task), task) == pytest.approx(given, abs=1e-6)


@pytest.mark.parametrize("task", [CLASSES, LABEL_SETS])
def test_certain_answers_have_finite_logits(task: TaskConfig) -> None:
    logits = logits_of(np.array([[1.0, 0.0, 0.0]]), task)
    assert np.isfinite(logits).all()
    assert probabilities_of(logits, task)[0, 1] == pytest.approx(MIN_PROBABILITY, rel=1e-3)


def test_the_rest_is_spread_over_the_classes_without_a_value() -> None:
    values = np.array([[0.6, NAN, NAN], [0.9, 0.1, 0.0], [NAN, 1.0, NAN]])
    assert spread_rest(values).tolist() == [[0.6, 0.2, 0.2], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0]]


def test_several_teachers_are_averaged_by_their_probabilities() -> None:
    given = [np.array([[0.8, 0.1, 0.1]]), np.array([[0.2, 0.7, 0.1]])]
    mean = probabilities_of(average([logits_of(p, CLASSES) for p in given], [3.0, 1.0], CLASSES), CLASSES)
    assert mean == pytest.approx(np.array([[0.65, 0.25, 0.1]]), abs=1e-6)


def test_scores_are_averaged_and_one_teacher_is_kept_bit_for_bit() -> None:
    scores = [np.array([[1.0], [4.0]], np.float32), np.array([[3.0], [4.0]], np.float32)]
    assert average(scores, [1.0, 1.0], SCORE).tolist() == [[2.0], [4.0]]
    logits = np.array([[0.1, -7.3, 12.7]], np.float32)
    assert average([logits], [2.0], CLASSES) is logits
