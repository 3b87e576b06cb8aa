"""T5 classes of tasks."""

from __future__ import annotations

from kdrun.config.task import TaskConfig
from kdrun.models.t5_base import TaskT5
from kdrun.models.t5_label_scoring import T5LabelScorer
from kdrun.models.t5_seq2seq import AnswerT5


def model_class(task: TaskConfig) -> type[TaskT5]:
    """Class of a T5 teacher or student of the task."""
    return AnswerT5 if task.is_text else T5LabelScorer
