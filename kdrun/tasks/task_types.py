"""Choose the task type of a task.

`task_type_of` is the only place that chooses by the task's config; all other code calls methods of the task type.
"""

from __future__ import annotations

from kdrun.config.task import TaskConfig
from kdrun.tasks.base import TaskType
from kdrun.tasks.classification import ClassificationTask
from kdrun.tasks.extraction import ExtractionTask
from kdrun.tasks.free_text import FreeTextTask
from kdrun.tasks.multi_label import MultiLabelTask


def task_type_of(task: TaskConfig) -> TaskType:
    """The task type of a task."""
    if task.is_text:
        return ExtractionTask(task) if task.is_extraction else FreeTextTask(task)
    return MultiLabelTask(task) if task.is_multi_label else ClassificationTask(task)
