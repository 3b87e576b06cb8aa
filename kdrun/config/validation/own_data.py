"""Rules for rows of your own: `task=own` and `data=files`."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun.config.data import FilesDataConfig
from kdrun.config.schema import RunConfig
from kdrun.errors import Problem

OWN = "own"
"""The task whose classes follow from its rows."""


def own_task_problems(config: RunConfig) -> Iterator[Problem]:
    """The task `own` without files to complete it, and keys of `data=files` next to another source."""
    source = config.data.name
    if isinstance(config.data, FilesDataConfig):
        return
    if config.task.name == OWN:
        text = (
            f"task=own is completed by rows of your own, and data={source} has none: add data=files data.train=FILE "
            "data.dev=0.1"
        )
        yield Problem("data", source, text)
    elif config.task.label is not None:
        text = (
            f"task.label={config.task.label} has no effect: it names a column of data=files, and this is data={source}"
        )
        yield Problem("task.label", config.task.label, text)
