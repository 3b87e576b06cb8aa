"""Decide whether and how many generated rows a run exports.

These decisions precede loading, so this module imports without torch. `kdrun.data.sources.generated_text` reads the
exported text.
"""

from __future__ import annotations

from pathlib import Path

from kdrun import registry
from kdrun.config.data import DevSource, FolderDataConfig
from kdrun.config.schema import RunConfig

MOST_BY_DEFAULT = 10_000
"""Rows, where `generated.rows` does not say how many."""


def num_rows_to_export(config: RunConfig, source_rows: int) -> int:
    """How many rows a run leaves behind; 0 for none.

    Args:
        config: of the run.
        source_rows: how many rows its student learns from.
    """
    method = registry.get("method", config.method.name).target
    if config.generated.rows is not None:
        return config.generated.rows
    return min(MOST_BY_DEFAULT, source_rows) if method.generates_text and method.requires.data_free else 0


def why_not_exported(config: RunConfig) -> str:
    """Why a run leaves no generated text behind."""
    if not registry.get("method", config.method.name).target.generates_text:
        return f"method={config.method.name} makes no text"
    rows = config.generated.rows
    return "generated.rows is 0" if rows == 0 else "only a data-free method leaves text unless generated.rows is set"


def overrides_to_train_on(config: RunConfig, folder: Path) -> list[str]:
    """Words of a run whose student learns from the text that this run left in its folder."""
    rows = config.data.task_section
    if rows.name == DevSource.folder.value:
        assert isinstance(rows, FolderDataConfig)
        source = [f"data.dir={rows.dir}"]
    else:
        source = ["data.dev=hub"] if rows.name == DevSource.hub.value else []
    run = ["method=finetune", f"task={config.task.name}", f"preset={config.preset}"]
    return [*run, "data=generated", f"data.path={folder}", *source]
