"""Read rows of your own from files or the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdrun.config.data import FilesDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data.splits import UNLABELED, Split
from kdrun.lazy import lazy_module
from kdrun.registry import register

if TYPE_CHECKING:
    from kdrun.data.files import dataset_files
else:
    dataset_files = lazy_module("kdrun.data.files.dataset_files")  # every command line loads all data sources


def fill_task(config: FilesDataConfig, task: TaskConfig) -> TaskConfig:
    """The task with columns, kind, classes and row counts of the files.

    Raises:
        KdrunError: files, columns or rows have problems.
    """
    return dataset_files.load_own_data(config, task).task


@register("data", "files", config=FilesDataConfig, fill_task=fill_task)
def files_source(config: FilesDataConfig, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """The rows of `data.train`, `data.dev` and `data.test`; with `train` also those of `data.unlabelled`."""
    splits = dataset_files.load_own_data(config, task).splits
    requested = [*names, *([UNLABELED] if "train" in names else [])]
    return {name: splits[name] for name in requested if name in splits}
