"""Labeled splits besides the task's own, to score finished models on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kdrun.config.data import HubDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data.row_checks import check_split
from kdrun.data.sources import glue_hub
from kdrun.data.splits import Split


@dataclass(frozen=True)
class ExtraSplit:
    """An extra split, and how the task's classes read as its own.

    Attributes:
        name: key of `task.extra`.
        split: the rows.
        labels: classes of the rows.
        merged: for each class of the task, the index of the class of the rows that it means, [classes].
    """

    name: str
    split: Split
    labels: list[str]
    merged: np.ndarray


def read_extra_split(task: TaskConfig, name: str) -> ExtraSplit:
    """Read a split of `task.extra` from the hub, or from a folder of the same layout.

    Raises:
        DataError: the data set is unreachable, or lacks the split, columns or classes.
    """
    entry = task.extra[name]
    labels, merge = list(entry.get("labels", task.labels)), entry.get("merge", {})
    source = {key: entry[key] for key in ("repo", "subset", "revision", "label") if key in entry}
    rows_task = replace(task, labels=labels, hub={**source, "splits": {name: entry["split"]}}, rows={name: 1})
    split = glue_hub.read_task(HubDataConfig(name="hub"), rows_task, [name])[name]
    check_split(split, rows_task)
    official = entry.get("rows")
    if official is not None and official != split.num_rows:
        note = f"{name} ({split.origin}) has {split.num_rows} rows, officially {official}: scores do not compare"
        split = replace(split, notes=(*split.notes, note))
    merged = np.array([labels.index(merge.get(label, label)) for label in task.labels])
    return ExtraSplit(name, split, labels, merged)
