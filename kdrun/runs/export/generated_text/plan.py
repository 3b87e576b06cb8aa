"""Decide whether and how many generated rows a run exports.

These decisions precede loading, so this module imports without torch. `kdrun.data.sources.generated_text` reads the
exported text.
"""

from __future__ import annotations

from pathlib import Path

from kdrun import registry
from kdrun.config.data import DevSource, FolderDataConfig
from kdrun.config.schema import RunConfig

MAX_DEFAULT_ROWS = 10_000
"""Largest number of rows when `generated.rows` is not set."""


def num_rows_to_export(config: RunConfig, source_rows: int) -> int:
    """Number of generated rows that a run exports; 0 for none.

    Args:
        config: config of the run.
        source_rows: number of rows that its student is trained on.
    """
    method = registry.get("method", config.method.name).target
    if config.generated.rows is not None:
        return config.generated.rows
    return min(MAX_DEFAULT_ROWS, source_rows) if method.generates_text and method.requires.data_free else 0


def why_not_exported(config: RunConfig) -> str:
    """Reason why a run exports no generated text."""
    if not registry.get("method", config.method.name).target.generates_text:
        return f"method={config.method.name} makes no text"
    rows = config.generated.rows
    return "generated.rows is 0" if rows == 0 else "only a data-free method leaves text unless generated.rows is set"


def overrides_to_train_on(config: RunConfig, folder: Path) -> list[str]:
    """Overrides of a run that trains a student on the text exported to a folder."""
    section = config.data.task_section
    if section.name == DevSource.folder.value:
        assert isinstance(section, FolderDataConfig)
        source = [f"data.dir={section.dir}"]
    else:
        source = ["data.dev=hub"] if section.name == DevSource.hub.value else []
    run = ["method=finetune", f"task={config.task.name}", f"preset={config.preset}"]
    return [*run, "data=generated", f"data.path={folder}", *source]
