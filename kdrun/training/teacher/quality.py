"""Reject teachers that hardly beat the majority baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdrun.config.task import TaskConfig
from kdrun.config.teacher import RecordedTeacherConfig
from kdrun.errors import TrainingError
from kdrun.formatting import percent
from kdrun.storage.run_result import Scores
from kdrun.tasks.base import Outputs
from kdrun.tasks.registered_metrics import CORRELATIONS
from kdrun.training.teacher.finetune import TeacherEvaluation

MIN_GAIN_OVER_BASELINE = 0.02
"""Smallest gain of a teacher over the majority baseline on the headline metric, whose maximum is 1."""

MIN_SHARE_OF_ROOM = 0.2
"""Smallest share of the room between the baseline and 1, where the room is so small that a gain of 0.02 is not."""

FAR_BELOW_CHANCE, FAR_BELOW_ZERO = 0.8, 0.1
"""A score below this share of chance, or a correlation below minus this, is no accident on a dev split."""

MIN_CORRELATION, MAX_SCALE_ERROR = 0.5, 0.5
"""A teacher that correlates this much with the gold scores, and whose scale and offset add this share of their
variance to the squared error, has learned the task on another scale."""


def beats_baseline(value: float | None, baseline: float) -> bool:
    """Whether a score is clearly above the majority baseline.

    Args:
        value: on the headline metric; None if undefined.
        baseline: of the same metric. One of 1 leaves no room, so nothing beats it.
    """
    room = 1.0 - baseline
    if value is None or room <= 0:
        return False
    return value >= baseline + min(MIN_GAIN_OVER_BASELINE, MIN_SHARE_OF_ROOM * room)


def check_teacher_quality(scores: Scores, teacher_evaluation: TeacherEvaluation) -> str | None:
    """Compare the teacher with the majority baseline on the headline metric of the first dev split.

    Returns:
        None for a teacher that is good enough; a warning for a weak one with `teacher.allow_weak=true`.

    Raises:
        TrainingError: the teacher hardly beats the majority baseline.
    """
    task, split = teacher_evaluation.config.task, teacher_evaluation.config.task.dev_splits[0]
    baseline = teacher_evaluation.evaluator.split_baseline(split)[task.headline] or 0.0
    value = scores[split][task.headline]
    if beats_baseline(value, baseline):
        return None
    value_text = "undefined" if value is None else percent(value)
    message = f"the teacher's {task.headline} on {split} is {value_text}, that of the majority baseline "
    message += f"{percent(baseline)}: "
    message += (
        f"all rows of {split} have one answer, so no score shows what the teacher has learned"
        if baseline >= 1
        else f"the teacher is too weak to distill from{below_chance_hint(value, task)}"
    )
    if teacher_evaluation.config.teacher.allow_weak:
        return f"{message} (allowed by teacher.allow_weak=true)"
    raise TrainingError(
        f"{message}. {_remedy(teacher_evaluation.config.teacher)}, or allow it (teacher.allow_weak=true)"
    )


def _remedy(section: Any) -> str:
    if isinstance(section, RecordedTeacherConfig):
        return "Check that its answers belong to these texts and classes, record a better teacher (teacher.path=FILE)"
    return "Train it longer (teacher.finetune_optim.epochs=…), choose a better one (teacher.path=FOLDER)"


def below_chance_hint(value: float | None, task: TaskConfig) -> str:
    """The suspicion that a teacher far below chance has its classes in another order; empty for any other teacher.

    Args:
        value: its score on the headline metric; None if undefined.
        task: gives the metric and the classes.
    """
    if value is None or task.is_text or task.is_multi_label:
        return ""
    if task.headline in (*CORRELATIONS, "mcc"):
        is_far_below = value < -FAR_BELOW_ZERO
    else:
        is_far_below = task.headline in ("accuracy", "macro_f1") and value < FAR_BELOW_CHANCE / task.num_outputs
    if not is_far_below:
        return ""
    if task.is_regression:
        return "; a score far below zero suggests that its scale is reversed"
    return (
        f". A score far below chance suggests that its classes are not in the order {', '.join(task.labels)}: check "
        "id2label in its config.json, or map its names with teacher.labels={…}"
    )


def scale_warning(outputs: Mapping[str, Outputs], teacher_evaluation: TeacherEvaluation) -> str | None:
    """A warning if a regression teacher's scores are on another scale than the gold scores.

    Correlations do not depend on the scale, but a student learns the teacher's scores as they are.

    Args:
        outputs: of the teacher by dev split.
        teacher_evaluation: gives the task and the gold scores.

    Returns:
        A sentence; None for a teacher on the scale of the gold scores, and for tasks with classes.
    """
    task = teacher_evaluation.config.task
    if not task.is_regression:
        return None
    split = task.dev_splits[0]
    gold = np.asarray(teacher_evaluation.evaluator.labels[split], np.float64)
    scores = np.asarray(outputs[split], np.float64)[:, 0]
    variance = float(gold.var())
    if not variance or not scores.var():
        return None
    correlation = float(np.corrcoef(scores, gold)[0, 1])
    error = float(np.square(scores - gold).mean())
    scale_error = error - (1 - correlation**2) * variance
    if correlation < MIN_CORRELATION or scale_error <= MAX_SCALE_ERROR * variance:
        return None
    return (
        f"the teacher's scores on {split} are on another scale: they go from {scores.min():.2f} to {scores.max():.2f}, "
        f"the gold scores from {gold.min():.2f} to {gold.max():.2f}; its pearson is {percent(correlation)}, but its "
        f"squared error {error:.2f}, and that of the mean gold score is {variance:.2f}. The student learns the "
        "teacher's scale (method.soft_weight): take a teacher of this task's scale, or train this one on "
        "it (teacher.fine_tune=always)"
    )
