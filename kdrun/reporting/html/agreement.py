"""Agreement, confusion and calibration of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdrun.data import entities, text_overlap
from kdrun.formatting import percent
from kdrun.reporting.html.blocks import Table

BINS = 15

ECE_DEFINITION = (
    f"Expected calibration error (ECE; Guo et al. 2017): rows are put into {BINS} equal-width bins by the probability "
    "of the predicted class; ECE is the mean over the bins, weighted by their rows, of |share of correct predictions − "
    "mean probability|. A calibrated model lies on the diagonal."
)


@dataclass(frozen=True)
class Bin:
    """Rows of one bin: mean top probability, share of correct predictions, number of rows."""

    confidence: float
    accuracy: float
    rows: int


@dataclass(frozen=True)
class Calibration:
    """ECE in [0, 1] and the bins that are not empty."""

    error: float
    bins: list[Bin]


def calibration(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Calibration:
    """Compute the expected calibration error with bins ((m-1)/M, m/M] (Guo, Pleiss, Sun, Weinberger 2017, equation 3).

    Args:
        confidence: probability of the predicted class, [rows], in [0, 1].
        correct: whether the prediction is the gold label, [rows].
        bins: M.

    Raises:
        ValueError: no rows.
    """
    if not len(confidence):
        raise ValueError("there are no rows to calibrate on")
    bin_index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    calibration_bins = []
    for number in np.unique(bin_index):
        inside = bin_index == number
        calibration_bins.append(Bin(float(confidence[inside].mean()), float(correct[inside].mean()), int(inside.sum())))
    error = sum(b.rows * abs(b.accuracy - b.confidence) for b in calibration_bins) / len(confidence)
    return Calibration(error, calibration_bins)


@dataclass(frozen=True)
class PredictionPair:
    """The student's and the teacher's class predictions on one split, as arrays.

    Attributes:
        labels: the classes, in the task's order.
        rows: the lines of predictions.jsonl.
        gold: class names, [rows].
        student: predicted class names, [rows].
        student_shares: probabilities, [rows, classes]; None if the file has none.
        teacher: as `student`; None if the file has no predictions of a teacher.
        teacher_shares: as `student_shares`.
    """

    labels: list[str]
    rows: list[dict[str, Any]]
    gold: np.ndarray
    student: np.ndarray
    student_shares: np.ndarray | None
    teacher: np.ndarray | None
    teacher_shares: np.ndarray | None

    def of_model(self, who: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return predictions and probabilities of `teacher` or `student`."""
        return (self.teacher, self.teacher_shares) if who == "teacher" else (self.student, self.student_shares)

    def calibration(self, who: str) -> Calibration | None:
        """Return a model's calibration; None without its probabilities."""
        predicted, shares = self.of_model(who)
        if predicted is None or shares is None:
            return None
        return calibration(shares.max(axis=1), predicted == self.gold)

    def agreement(self) -> float | None:
        """Return the share of rows on which both models predict the same class."""
        return None if self.teacher is None else float((self.student == self.teacher).mean())

    def gap(self) -> np.ndarray | None:
        """Compute the total variation distance of both models' probabilities, ½ Σ|p − q|, [rows]."""
        if self.student_shares is None or self.teacher_shares is None:
            return None
        return 0.5 * np.abs(self.student_shares - self.teacher_shares).sum(axis=1)


def is_regression(rows: Sequence[dict[str, Any]]) -> bool:
    """Return whether predictions are scores rather than classes."""
    return bool(rows) and not isinstance(rows[0]["prediction"], str | list)


def is_multi_label(rows: Sequence[dict[str, Any]]) -> bool:
    """Return whether predictions are lists of classes."""
    return bool(rows) and isinstance(rows[0]["prediction"], list)


def is_extraction(rows: Sequence[dict[str, Any]]) -> bool:
    """Return whether predictions are texts that name entities."""
    return bool(rows) and "written" in rows[0]


def is_free_text(rows: Sequence[dict[str, Any]]) -> bool:
    """Return whether predictions are free texts."""
    return bool(rows) and "cut" in rows[0] and not is_extraction(rows)


def is_correct(row: dict[str, Any], whose: str = "") -> bool:
    """Return whether a prediction equals the gold label.

    An extraction counts if it names the same entities, a free text without regard to case and blanks.
    """
    prediction = row[f"{whose}prediction"]
    if is_free_text([row]):
        return text_overlap.is_equal(prediction, row["gold"])
    return entities.same_entities(prediction, row["gold"]) if is_extraction([row]) else prediction == row["gold"]


def make_prediction_pair(rows: list[dict[str, Any]]) -> PredictionPair:
    """Collect the predictions of one split of a classification task, which must have rows."""
    gold, student = (np.array([row[key] for row in rows]) for key in ("gold", "prediction"))
    has_teacher = all("teacher_prediction" in row for row in rows)
    teacher = np.array([row["teacher_prediction"] for row in rows]) if has_teacher else None
    labels = list(rows[0].get("probabilities", ()))
    observed = {*gold.tolist(), *student.tolist(), *(teacher.tolist() if teacher is not None else ())}
    shares = [_shares(rows, key, labels) for key in ("probabilities", "teacher_probabilities")]
    return PredictionPair(
        [*labels, *sorted(observed - set(labels))], rows, gold, student, shares[0], teacher, shares[1]
    )


def _shares(rows: list[dict[str, Any]], key: str, labels: list[str]) -> np.ndarray | None:
    if not all(key in row for row in rows):
        return None
    return np.array([[row[key][label] for label in labels] for row in rows], dtype=float)


def correctness_table(caption: str, unit: str, student: np.ndarray, teacher: np.ndarray) -> Table:
    """Count the rows that both, one or none of the models predict correctly.

    Args:
        caption: heading of the table.
        unit: name of a row of the data, in the plural.
        student: whether the student is correct, [rows].
        teacher: whether the teacher is correct, [rows].
    """
    cases = [
        ("both correct", student & teacher),
        ("only the teacher correct", ~student & teacher),
        ("only the student correct", student & ~teacher),
        ("both wrong", ~student & ~teacher),
    ]
    rows = [[name, str(int(hit.sum())), percent(float(hit.mean()))] for name, hit in cases]
    return Table(caption, ["", unit, "share"], rows)


def confusion(labels: list[str], first: np.ndarray, second: np.ndarray) -> list[list[int]]:
    """Count the rows by class of `first` (matrix rows) and class of `second` (matrix columns)."""
    index = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(counts, ([index[x] for x in first.tolist()], [index[x] for x in second.tolist()]), 1)
    return counts.tolist()


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Compute Pearson's correlation of two score vectors; None where one is constant or has fewer than two rows."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def largest_places(values: np.ndarray, how_many: int) -> list[int]:
    """Return the indices of the largest nonzero values, largest first; ties keep the order of the rows."""
    order = np.argsort(-values, kind="stable")[:how_many]
    return [int(place) for place in order if values[place] > 0]


def interval(scores: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Compute Student's t interval of a mean over seeds; None below two scores."""
    if len(scores) < 2:
        return None
    from scipy.special import stdtrit

    values = np.asarray(scores)
    half = stdtrit(len(values) - 1, 0.5 + confidence / 2) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)
