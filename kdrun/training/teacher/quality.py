"""Compare the teacher with a constant prediction and refuse weak teachers."""

from __future__ import annotations

from kdrun.errors import TrainingError
from kdrun.storage.run_result import Scores
from kdrun.training.teacher.finetune import TeacherEvaluation

MIN_GAIN_OVER_BASELINE = 0.02
"""A teacher must beat the constant guess by this much on the headline metric (metrics run from 0 to 1)."""


def check_teacher_quality(scores: Scores, setting: TeacherEvaluation) -> str | None:
    """Compare the teacher with a constant guess on the headline metric of the split that chooses checkpoints.

    Returns:
        None for a teacher that knows something, else a warning when `teacher.allow_weak=true` lets it pass.

    Raises:
        TrainingError: the teacher is near the constant guess.
    """
    task, split = setting.config.task, setting.config.task.dev_splits[0]
    guess = setting.evaluator.majority_baseline()[split][task.headline] or 0.0
    value = scores[split][task.headline]
    if value is not None and value >= guess + MIN_GAIN_OVER_BASELINE:
        return None
    found = "undefined" if value is None else f"{value:.4f}"
    message = (
        f"the teacher's {task.headline} on {split} is {found}, a constant guess has {guess:.4f}: it has nothing "
        "to teach"
    )
    if setting.config.teacher.allow_weak:
        return f"{message} (allowed by teacher.allow_weak=true)"
    raise TrainingError(
        f"{message}. Train it longer (teacher.finetune_optim.epochs=…), give a better one (teacher.path=FOLDER), or "
        "go on all the same with teacher.allow_weak=true"
    )
