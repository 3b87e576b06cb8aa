"""Cells of a sweep, and their record in sweep.json."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kdrun.errors import ConfigError
from kdrun.storage.json_reader import Rule, Shape, parse_object
from kdrun.storage.key_aliases import rename_config, rename_overrides

FOLDER, RECORD, REUSED = "sweeps", "sweep.json", "taken.jsonl"
CELL_ID = Rule("16 hex digits", lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{16}", value))
CELL_SHAPE: dict[str, Shape] = {
    "id": CELL_ID,
    "label": str,
    "words": [str],
    "identity": dict,
    "problems": [str],
}
SWEEP_SHAPE: dict[str, Shape] = {"code": str, "cells": [CELL_SHAPE]}
REUSED_SHAPE: dict[str, Shape] = {"cell": str, "run_dir": str}


@dataclass(frozen=True)
class Cell:
    """One combination of a sweep.

    Attributes:
        id: hash of its config, 16 hex digits.
        label: overrides of the swept keys, separated by spaces.
        overrides: overrides of its config, sorted, without those that change no number.
        identity: the part of its config that decides its numbers.
        problems: problems of its config, as sentences; a cell with problems does not run.
    """

    id: str
    label: str
    overrides: list[str]
    identity: dict[str, Any]
    problems: list[str]


@dataclass(frozen=True)
class Sweep:
    """A sweep with its cells.

    Attributes:
        name: name of its folder, unique in an output folder.
        folder: folder of its record and its cells.
        code: hash of the code when the sweep started.
        cells: cells in the order of their runs.
        requested: ids of the cells of this command line; others were added by earlier ones.
    """

    name: str
    folder: Path
    code: str
    cells: list[Cell]
    requested: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def command(self) -> str:
        """Command that prints the cells."""
        output_dir = self.folder.parent.parent
        is_elsewhere = output_dir != Path("outputs")  # the default of `kdrun runs`
        return shlex.join(["kdrun", "runs", f"sweep={self.name}", *([f"output_dir={output_dir}"] * is_elsewhere)])


def cell_record(cell: Cell) -> dict[str, Any]:
    """A cell as in `sweep.json`, where its overrides have the key `words`."""
    return {"words" if key == "overrides" else key: value for key, value in vars(cell).items()}


def load(folder: Path) -> Sweep | None:
    """The sweep that is recorded in a folder; None if there is none.

    Raises:
        ConfigError: the record was not written by a sweep.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = parse_object(path.read_bytes(), SWEEP_SHAPE)
    except ValueError as error:
        raise ConfigError([f"{path} was not written by a sweep ({error}); start a new one with sweep=NAME"]) from None
    cells = [Cell(c["id"], c["label"], c["words"], c["identity"], c["problems"]) for c in record["cells"]]
    return Sweep(folder.name, folder, record["code"], [_with_current_keys(cell) for cell in cells])


def _with_current_keys(cell: Cell) -> Cell:
    """A recorded cell with the current names of config keys; it keeps its id, which names its folder."""
    overrides, method, label = rename_overrides(cell.overrides), cell.identity.get("method"), cell.label
    for old, new in zip(cell.overrides, overrides, strict=True):
        label = label.replace(old, new)
    config = rename_config(cell.identity, [str(method.get("name")) if isinstance(method, dict) else ""])
    return replace(cell, label=label, overrides=overrides, identity=config)
