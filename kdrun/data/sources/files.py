"""Read rows of your own from files or the hub."""

from __future__ import annotations

from collections.abc import Sequence

from kdrun.config.data import FilesDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data.files.dataset_files import load_own_data
from kdrun.data.splits import UNLABELED, Split
from kdrun.registry import register


def fill_task(config: FilesDataConfig, task: TaskConfig) -> TaskConfig:
    """The task with columns, kind, classes and row counts of the files.

    Raises:
        KdrunError: files, columns or rows have problems.
    """
    return load_own_data(config, task).task


@register("data", "files", config=FilesDataConfig, fill_task=fill_task)
def files_source(config: FilesDataConfig, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """The rows of `data.train`, `data.dev` and `data.test`; with `train` also those of `data.unlabelled`."""
    splits = load_own_data(config, task).splits
    requested = [*names, *([UNLABELED] if "train" in names else [])]
    return {name: splits[name] for name in requested if name in splits}
