"""Reject teachers that hardly beat the majority baseline."""

from __future__ import annotations

from kdrun.errors import TrainingError
from kdrun.storage.run_result import Scores
from kdrun.training.teacher.finetune import TeacherEvaluation

MIN_GAIN_OVER_BASELINE = 0.02
"""Smallest gain of a teacher over the majority baseline on the headline metric, whose maximum is 1."""


def check_teacher_quality(scores: Scores, teacher_evaluation: TeacherEvaluation) -> str | None:
    """Compare the teacher with the majority baseline on the headline metric of the first dev split.

    Returns:
        None for a teacher that is good enough; a warning for a weak one with `teacher.allow_weak=true`.

    Raises:
        TrainingError: the teacher hardly beats the majority baseline.
    """
    task, split = teacher_evaluation.config.task, teacher_evaluation.config.task.dev_splits[0]
    baseline = teacher_evaluation.evaluator.majority_baseline()[split][task.headline] or 0.0
    value = scores[split][task.headline]
    if value is not None and value >= baseline + MIN_GAIN_OVER_BASELINE:
        return None
    value_text = "undefined" if value is None else f"{value:.4f}"
    message = (
        f"the teacher's {task.headline} on {split} is {value_text}, the majority baseline has {baseline:.4f}: the "
        "teacher is too weak to distill from"
    )
    if teacher_evaluation.config.teacher.allow_weak:
        return f"{message} (allowed by teacher.allow_weak=true)"
    raise TrainingError(
        f"{message}. Train it longer (teacher.finetune_optim.epochs=…), choose a better one (teacher.path=FOLDER), or "
        "allow it (teacher.allow_weak=true)"
    )
