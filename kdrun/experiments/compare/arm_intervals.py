"""Intervals of an arm's mean score, and of its retention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kdrun import registry
from kdrun.experiments.compare import resampling, significance
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.predictions import Predictions, read_predictions, read_teacher_answers
from kdrun.experiments.compare.significance import Array
from kdrun.storage.serialization import to_plain

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig

RunKey = tuple[str, int]
"""Arm and seed of a run."""


def arm_intervals(
    arm: Arm, values: Mapping[RunKey, float | None], resampled: Mapping[RunKey, Array], task: TaskConfig
) -> dict[str, Any]:
    """The intervals of an arm for its entry in the record of a comparison.

    Args:
        arm: the arm with its results.
        values: score of each finished run by the metric of the comparison; None where it is undefined.
        resampled: the same on bootstrap resamples of the examples, [resamples].
        task: task of the runs.

    Returns:
        `interval`, of the mean score over seeds and examples; `retention`, the result of `retention_of_arm`.
    """
    keys = sorted(key for key in values if key[0] == arm.name)
    interval = None
    if keys:
        scores = np.array([np.nan if (value := values[key]) is None else value for key in keys])
        interval = mean_interval(scores, np.stack([resampled[key] for key in keys], axis=1))
    return {"interval": interval, "retention": retention_of_arm(arm, task)}


def mean_interval(values: Array, resampled: Array) -> list[float] | None:
    """The 95 % interval of a mean over seeds and examples; None where it is undefined.

    Args:
        values: value of each seed on the whole split, [seeds].
        resampled: the same on bootstrap resamples of the examples, [resamples, seeds].
    """
    estimate = significance.estimate(values, resampled)
    if isinstance(estimate, str):
        return None
    half_width = float(estimate.half_width(significance.ALPHA))
    return [estimate.mean - half_width, estimate.mean + half_width]


def retention_of_arm(arm: Arm, task: TaskConfig) -> dict[str, Any] | None:
    """Retention of an arm's runs by the task's headline metric: the student's score divided by its teacher's.

    Student and teacher are scored on the same resamples of the examples (the pairing), so errors that both make cancel.

    Args:
        arm: the arm with its results.
        task: task of the runs.

    Returns:
        `metric`, `split`, `rows`; `value`, the mean over seeds, with its 95 % `interval`; `majority`, the same ratio
        for the majority baseline. None without teachers, or with a teacher's score that is not positive.
    """
    split, metric = task.report_split, task.headline
    ratios, majority = [], None
    for seed in sorted(arm.results):
        result = arm.results[seed]
        teacher = result["teacher"]["metrics"][split][metric] if result["teacher"] else None
        student, guess = result["student"]["metrics"][split][metric], result["guess"][split].get(metric)
        if student is None or teacher is None or teacher <= 0:
            return None
        ratios.append(student / teacher)
        majority = None if guess is None else guess / teacher
    if not ratios:
        return None
    resampled = _resampled_ratios(arm, task, split, metric)
    interval = None if resampled is None else mean_interval(np.array(ratios), resampled[0])
    measured = {"value": float(np.mean(ratios)), "interval": interval, "majority": majority}
    return to_plain({"metric": metric, "split": split, "rows": resampled[1] if resampled else None} | measured)


def _resampled_ratios(arm: Arm, task: TaskConfig, split: str, metric: str) -> tuple[Array, int] | None:
    """Retention of each run on resamples of the examples, [resamples, seeds], and the number of rows.

    Returns:
        None for a metric that is computed from probabilities, or without the teachers' answers.
    """
    folders = [arm.folders[seed] for seed in sorted(arm.results)]
    if registry.get("metric", metric).needs_probabilities or not folders:
        return None
    teachers = [read_teacher_answers(folder, task, split) for folder in folders]
    if any(answers is None for answers in teachers):
        return None
    students = [read_predictions(folder, task, split, metric) for folder in folders]
    distinct, places = _distinct([answers for answers in teachers if answers is not None])
    rows: Predictions = students[0]
    columns = np.stack([*(student.predicted for student in students), *distinct])
    values = resampling.resample(metric, rows.gold, columns, domains=rows.domains, clusters=rows.groups)
    teacher_values = values[:, len(students) :][:, places]
    ratios = np.full(teacher_values.shape, np.nan)
    np.divide(values[:, : len(students)], teacher_values, out=ratios, where=teacher_values > 0)
    return ratios, len(rows.gold)


def _distinct(arrays: Sequence[Array]) -> tuple[list[Array], list[int]]:
    """The distinct arrays, and the index of each array among them: most arms have one teacher for all seeds."""
    distinct: list[Array] = []
    places = []
    for array in arrays:
        place = next((i for i, other in enumerate(distinct) if np.array_equal(array, other)), len(distinct))
        if place == len(distinct):
            distinct.append(array)
        places.append(place)
    return distinct, places
