"""Text that a run leaves behind: made by its generator at the end, scored by its teacher, measured, for any other run.

What is decided before anything loads is here and imports without torch; `kdrun.data.generated` reads the text back.
"""

from __future__ import annotations

from pathlib import Path

from kdrun import registry
from kdrun.config import Config
from kdrun.data import domains
from kdrun.data.config import GeneratedDataConfig

MOST_BY_DEFAULT = 10_000
"""Rows, where `generated.rows` does not say how many."""


def rows_wanted(config: Config, source_rows: int) -> int:
    """How many rows a run leaves behind; 0 for none.

    Args:
        config: of the run.
        source_rows: how many rows its student learns from.
    """
    method = registry.get("method", config.method.name).target
    if config.generated.rows is not None:
        return config.generated.rows
    return min(MOST_BY_DEFAULT, source_rows) if method.makes_text and method.needs.data_free else 0


def reason_for_none(config: Config) -> str:
    """Why a run leaves no generated text behind."""
    if not registry.get("method", config.method.name).target.makes_text:
        return f"method={config.method.name} makes no text"
    rows = config.generated.rows
    return "generated.rows is 0" if rows == 0 else "only a data-free method leaves text unless generated.rows is set"


def words_to_learn(config: Config, folder: Path) -> list[str]:
    """Words of a run whose student learns from the text that this run left in its folder."""
    rows = config.data.task_rows
    own = {"folder": [f"data.dir={getattr(rows, 'dir', None)}"], "hub": ["data.dev=hub"]}.get(rows.name, [])
    run = ["method=finetune", f"task={config.task.name}", f"preset={config.preset}"]
    return [*run, "data=generated", f"data.path={folder}", *own]


def problems(config: Config) -> list[str]:
    """What does not fit about the text that a run leaves behind or learns from, as sentences."""
    entries, found = registry.entries("method"), []
    method, task = entries[config.method.name].target, config.task
    if config.generated.rows and not method.makes_text:
        able = ", ".join(name for name, entry in entries.items() if entry.target.makes_text)
        found.append(f"generated.rows={config.generated.rows}: method={config.method.name} makes no text ({able} do)")
    elif config.generated.rows and not task.classes:
        found.append(f"generated.rows={config.generated.rows}: made text is saved with the teacher's class, and "
                     f"task={task.name} has no classes")  # fmt: skip
    if isinstance(config.data, GeneratedDataConfig):
        found += _unfit_rows(config, config.data)
    if config.ood.path is not None and not method.needs.data_free:
        found.append(f"ood.path={config.ood.path} is for data-free methods; method={config.method.name} learns from "
                     "such text with data=generated data.path=…")  # fmt: skip
    return found


def _unfit_rows(config: Config, rows: GeneratedDataConfig) -> list[str]:
    """What does not fit about a run that learns from generated rows."""
    found, own = [], rows.task_rows.name
    if not config.task.classes:
        found.append(f"data=generated: its rows are labelled with classes, and task={config.task.name} has none")
    if domains.asks(config.method) or registry.get("method", config.method.name).target.needs.domains:
        found.append(f"data=generated: its rows say no domain, and method={config.method.name} asks for them here")
    if own == "folder" and rows.dir is None:
        found.append("data.dev=folder needs data.dir=… (the folder that holds SST-2/dev.tsv and so on)")
    if own != "folder" and rows.dir is not None:
        found.append(f"data.dir={rows.dir} is of data.dev=folder, and data.dev={own}; leave one of them out")
    if config.ood.path is not None:
        found.append(f"ood.path={config.ood.path} and data=generated both name the text to learn from; leave out one")
    return found
