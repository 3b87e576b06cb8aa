"""Choose the task type of a task.

`kind_of` is the one place that asks a task which it is; whoever trains, scores or shows asks the kind.
"""

from __future__ import annotations

from kdrun.config.task import TaskConfig
from kdrun.tasks.base import TaskType
from kdrun.tasks.classification import ClassificationTask
from kdrun.tasks.extraction import ExtractionTask


def task_type_of(task: TaskConfig) -> TaskType:
    """The kind of a task."""
    return ExtractionTask(task) if task.is_extraction else ClassificationTask(task)
