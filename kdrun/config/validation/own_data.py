"""Rules for rows of your own: `task=own`, `data=files`, unlabeled rows."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun import registry
from kdrun.config.data import FilesDataConfig
from kdrun.config.requirements import Requirements
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


def unlabeled_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Unlabeled rows for a method that cannot use them."""
    data, method = config.data, config.method.name
    if not isinstance(data, FilesDataConfig):
        return
    if data.unlabelled is not None and not needs.unlabeled:
        able = ", ".join(name for name, entry in registry.entries("method").items() if entry.target.requires.unlabeled)
        why = _why_without(needs)
        text = f"data.unlabelled={data.unlabelled}: method={method} {why}; methods that learn from such rows: {able}"
        yield Problem("data.unlabelled", data.unlabelled, text)
    if data.max_unlabelled_rows is not None and (data.unlabelled is None or not needs.unlabeled):
        text = f"data.max_unlabelled_rows={data.max_unlabelled_rows} has no effect without unlabeled rows"
        yield Problem("data.max_unlabelled_rows", data.max_unlabelled_rows, text)


def _why_without(needs: Requirements) -> str:
    """Why a method does not learn from unlabeled rows, as the end of a sentence."""
    if not needs.teacher:
        return "has no teacher that labels them"
    if needs.data_free:
        return "learns from the corpus (or ood.path=…) instead of rows of the task"
    return "uses the label of every row"
