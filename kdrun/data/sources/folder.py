"""Rows from a local folder in the GLUE, CoNLL or folder-per-domain layout."""

from __future__ import annotations

from collections.abc import Sequence

from kdrun.config.data import FolderDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data.sources import conll_folder, domain_folder, glue_folder
from kdrun.data.splits import Split
from kdrun.registry import register


def check_folder(config: FolderDataConfig, task: TaskConfig, names: Sequence[str]) -> None:
    """Check the files of these splits without reading their rows.

    Raises:
        DataError: a folder, file or column is missing.
    """
    layout = conll_folder if task.is_extraction else domain_folder if task.is_by_domain else glue_folder
    layout.check_files(config.dir, task, names)


@register("data", "folder", config=FolderDataConfig, check=check_folder)
def folder_source(config: FolderDataConfig, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """The rows of the folder `data.dir` in the GLUE, CoNLL or folder-per-domain layout."""
    if task.is_extraction:
        return conll_folder.read_task(config.dir, task, names)
    if task.is_by_domain:
        return domain_folder.read_task(config.dir, task, names)
    return glue_folder.read_task(config.dir, task, names)
