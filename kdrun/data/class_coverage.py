"""Labels that occur among the training rows of a task."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data import arrow_arrays
from kdrun.data.splits import Split, pc
from kdrun.errors import DataError
from kdrun.formatting import join_words, plural


def check_labels_differ(rows: Split, task: TaskConfig) -> None:
    """Check that the training rows do not all have one label, from which nothing can be learned.

    Raises:
        DataError: they have one label.
    """
    labels = rows.table.column("label")
    if pa.types.is_nested(labels.type) or not rows.num_rows or pc.count_distinct(labels).as_py() > 1:
        return
    value = labels[0].as_py()
    label = f"class {task.labels[value]}" if task.labels else f"label {value!r}"
    raise DataError(
        f"all {plural(rows.num_rows, 'training row')} of {task.name} ({rows.origin}) have the {label}, so a model "
        "would learn to answer it always; check the label column, or train on more rows (data.max_train_rows, "
        "data.train_fraction)"
    )


def coverage_warnings(rows: Split, task: TaskConfig) -> list[str]:
    """A warning that names the classes of the task without a training row; empty if every class has one."""
    labels = rows.table.column("label")
    if not task.labels or not pa.types.is_integer(labels.type):
        return []
    counts = np.bincount(arrow_arrays.to_numpy(labels), minlength=len(task.labels))
    missing = [name for name, count in zip(task.labels, counts, strict=True) if not count]
    if not missing:
        return []
    noun = "class" if len(missing) == 1 else "classes"
    present = ", ".join(f"{name} {count}" for name, count in zip(task.labels, counts, strict=True) if count)
    return [
        f"{rows.name} has no row of the {noun} {join_words(missing)} of {task.name} ({present}), so a model cannot "
        "learn to answer so"
    ]
