"""Agreement, confusion and calibration against values by hand."""

import math

import numpy as np
import pytest

from kdrun.reporting.html import agreement
from tests.helpers.finished_runs import predictions


def test_calibration_of_two_bins_by_hand() -> None:
    # bins of width 1/15: 0.55 is in (8/15, 9/15], 0.9 and 0.92 in (13/15, 14/15]
    confidence = np.array([0.55, 0.9, 0.92, 0.9])
    calibration = agreement.calibration(confidence, np.array([False, True, True, False]))
    assert [(b.rows, round(b.confidence, 4), round(b.accuracy, 4)) for b in calibration.bins] == [
        (1, 0.55, 0.0),
        (3, 0.9067, 0.6667),
    ]
    assert calibration.error == pytest.approx((1 * 0.55 + 3 * abs(2 / 3 - 2.72 / 3)) / 4)


def test_calibration_bins_are_closed_above() -> None:
    calibration = agreement.calibration(np.array([0.5, 0.500001, 1.0, 0.0]), np.ones(4, dtype=bool), bins=2)
    assert [b.rows for b in calibration.bins] == [2, 2]  # 0 and 0.5; 0.500001 and 1


def test_perfect_confidence_and_perfect_answers_have_no_error() -> None:
    assert agreement.calibration(np.ones(5), np.ones(5, dtype=bool)).error == 0.0
    with pytest.raises(ValueError, match="no rows"):
        agreement.calibration(np.array([]), np.array([], dtype=bool))


def test_answers_of_a_split() -> None:
    prediction_pair = agreement.make_prediction_pair(predictions(40))
    assert prediction_pair.labels == ["negative", "positive"]
    assert prediction_pair.agreement() == pytest.approx(
        36 / 40
    )  # they differ where only the student is wrong: 5, 15, 25, 35
    teacher = prediction_pair.calibration("teacher")
    assert teacher is not None
    assert teacher.error == pytest.approx(0.0, abs=1e-12)  # 36 of 40 right at 0.9
    gap = prediction_pair.gap()
    assert gap is not None
    assert gap[5] == pytest.approx(abs(0.65 - (1 - 0.9)))
    assert agreement.largest_places(gap, 2) == [35, 25]


def test_answers_without_teacher_and_probabilities_measure_nothing() -> None:
    rows = [{k: row[k] for k in ("id", "split", "gold", "prediction")} for row in predictions(4)]
    prediction_pair = agreement.make_prediction_pair(rows)
    assert (prediction_pair.agreement(), prediction_pair.gap(), prediction_pair.calibration("student")) == (
        None,
        None,
        None,
    )
    assert prediction_pair.labels == ["negative", "positive"]


def test_confusion_counts_rows_by_class() -> None:
    first, second = np.array(["a", "a", "b", "c"]), np.array(["a", "b", "b", "a"])
    assert agreement.confusion(["a", "b", "c"], first, second) == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_most_leaves_out_rows_without_difference() -> None:
    assert agreement.largest_places(np.array([0.0, 0.2, 0.2, 0.5]), 9) == [3, 1, 2]


def test_interval_of_three_scores_by_hand() -> None:
    low, high = agreement.interval([1.0, 2.0, 3.0], 0.95) or (0.0, 0.0)
    half = 4.302652729911275 / math.sqrt(3)  # the 97.5 % point of Student's t with 2 degrees of freedom
    assert (low, high) == (pytest.approx(2 - half), pytest.approx(2 + half))
    assert agreement.interval([1.0], 0.95) is None


def test_correlation_of_a_constant_is_none() -> None:
    assert agreement.correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0])) is None
    assert agreement.correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1.0)
