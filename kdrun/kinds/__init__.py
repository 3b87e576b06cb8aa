"""Kinds of tasks: what follows from whether a class, a score or a text is asked for, each in one object.

`kind_of` is the one place that asks a task which it is; whoever trains, scores or shows asks the kind.
"""

from __future__ import annotations

from kdrun.data.config import TaskConfig
from kdrun.kinds.base import Kind
from kdrun.kinds.extraction import Extraction
from kdrun.kinds.labelled import Labelled

__all__ = ["Kind", "kind_of"]


def kind_of(task: TaskConfig) -> Kind:
    """The kind of a task."""
    return Extraction(task) if task.is_extraction else Labelled(task)
