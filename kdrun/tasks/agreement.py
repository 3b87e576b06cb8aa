"""Agreement of a student with its teacher; labels play no part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdrun.tasks import metrics

AGREEMENT, TEACHER_KL, TEACHER_PEARSON = "agreement", "teacher_kl", "teacher_pearson"
"""Share of rows with equal answers; mean KL(teacher ‖ student) in nats; correlation with the teacher's scores."""


def of_classes(student: np.ndarray, teacher: np.ndarray) -> dict[str, float | None]:
    """The share of rows with equal classes, and the mean of KL(teacher ‖ student) over rows.

    Args:
        student: logits, [rows, classes].
        teacher: logits, [rows, classes].
    """
    is_equal = student.argmax(axis=-1) == teacher.argmax(axis=-1)
    divergence = divergence_by_row(student, teacher, is_multi_label=False)
    return {AGREEMENT: _mean(is_equal), TEACHER_KL: _mean(divergence)}


def of_label_sets(student: np.ndarray, teacher: np.ndarray) -> dict[str, float | None]:
    """The share of rows with equal label sets, and the mean over rows and labels of KL(teacher ‖ student) of one label.

    Args:
        student: logits, [rows, classes], of which each has a sigmoid.
        teacher: logits, [rows, classes].
    """
    is_equal = ((student > 0) == (teacher > 0)).all(axis=-1)
    divergence = divergence_by_row(student, teacher, is_multi_label=True)
    return {AGREEMENT: _mean(is_equal), TEACHER_KL: _mean(divergence)}


def divergence_by_row(student: np.ndarray, teacher: np.ndarray, *, is_multi_label: bool) -> np.ndarray:
    """KL(teacher ‖ student) of each row, in nats, [rows]; for label sets the mean over labels.

    Args:
        student: logits, [rows, classes].
        teacher: logits, [rows, classes].
        is_multi_label: whether each logit has a sigmoid.
    """
    if not is_multi_label:
        log_p, log_q = _log_softmax(teacher), _log_softmax(student)
        return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    divergence = np.zeros(student.shape)
    for sign in (1, -1):  # the label is present, or absent
        log_p, log_q = (-np.logaddexp(0, -sign * logits.astype(np.float64)) for logits in (teacher, student))
        divergence += np.exp(log_p) * (log_p - log_q)
    return divergence.mean(axis=-1)


def of_scores(student: np.ndarray, teacher: np.ndarray) -> dict[str, float | None]:
    """Pearson's correlation of the scores; None for constant ones.

    Args:
        student: scores, [rows].
        teacher: scores, [rows].
    """
    return {TEACHER_PEARSON: metrics.compute(["pearson"], student, teacher)["pearson"]}


def of_texts(student: Sequence[str], teacher: Sequence[str]) -> dict[str, float | None]:
    """The share of rows with the same answer, letter for letter."""
    return {AGREEMENT: _mean(np.array([a == b for a, b in zip(student, teacher, strict=True)]))}


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
