"""Sweeps (`kdrun -m`): resumable cells with stable ids.

A cell is one combination of the swept values; its id is the hash of its config, which all runs have. A sweep writes
its cells and what their configs are into `<output_dir>/sweeps/<name>/sweep.json`, and each cell runs in
`<output_dir>/sweeps/<name>/<id>`. The ledger has the status of each cell, so any process can read it. This module
imports without torch.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from kdrun.config import compose
from kdrun.config.identity import NON_IDENTITY_KEYS, config_hash, identity
from kdrun.config.overrides import key_of
from kdrun.config.schema import RunConfig
from kdrun.config.validation import rules
from kdrun.console import Console
from kdrun.errors import ConfigError, did_you_mean
from kdrun.experiments import reuse
from kdrun.runs.provenance import code_digest
from kdrun.runs.run_record import MOST_SHOWN, config_differences, read_record
from kdrun.storage.files import append_jsonl, read_jsonl, write_atomic
from kdrun.storage.hashing import digest
from kdrun.storage.key_aliases import rename_config, rename_overrides
from kdrun.storage.ledger import LEDGER, Status, read_runs, status_of

FOLDER, RECORD, REUSED = "sweeps", "sweep.json", "taken.jsonl"
PENDING, REFUSED = "waiting", "refused"
"""Statuses of cells that runs do not have: not started yet; values that do not fit together."""
MOST_IN_NAME = 40
SHOWN = 8
"""Digits of a cell's id that are printed."""


@dataclass(frozen=True)
class Cell:
    """One combination of a sweep.

    Attributes:
        id: hash of its config, 16 hex digits.
        label: its values of the keys that the sweep varies, as words.
        words: its command line, without what changes no number.
        identity: all of its config that decides what it computes.
        problems: why it cannot run, as sentences.
    """

    id: str
    label: str
    words: list[str]
    identity: dict[str, Any]
    problems: list[str]


@dataclass(frozen=True)
class Sweep:
    """A sweep as its record has it.

    Attributes:
        name: its folder's, unique in an output folder.
        folder: where its record and its cells lie.
        code: hash of the code that it began with.
        cells: in their order.
    """

    name: str
    folder: Path
    code: str
    cells: list[Cell]

    @property
    def command(self) -> str:
        """Command that prints the cells."""
        output_dir = self.folder.parent.parent
        return shlex.join(["kdrun", "runs", f"sweep={self.name}", *([f"output_dir={output_dir}"] * self.is_elsewhere)])

    @property
    def is_elsewhere(self) -> bool:
        """Whether the sweep is outside the default output folder of `kdrun runs`."""
        return self.folder.parent.parent != Path("outputs")


def plan_sweep(overrides: Sequence[str]) -> Sweep | None:
    """The sweep of a command line; written down, or found equal to what a sweep of this name began with.

    Returns:
        None for a dry run, which leaves nothing.

    Raises:
        ConfigError: it cannot be a sweep, or one of this name had another base.
    """
    parsed = [(word, OverridesParser.create().parse_override(word)) for word in overrides]
    swept = {one.key_or_group for _, one in parsed if one.is_sweep_override()}
    own = [(word, one) for word, one in parsed if not one.key_or_group.startswith("hydra")]
    problems = [
        f"{word}: {reason}"
        for word, one in own
        for reason in [_unfit(one.key_or_group, one.is_sweep_override())]
        if reason is not None
    ]
    if problems:
        raise ConfigError(problems)
    axes = [_values(word, one) for word, one in own if one.key_or_group != "sweep"]
    configs = [(list(words), compose.to_config(compose.compose(list(words)))) for words in itertools.product(*axes)]
    if configs[0][1].dry_run:
        return None
    base = sorted(
        word for word, one in own if not one.is_sweep_override() and one.key_or_group not in NON_IDENTITY_KEYS
    )
    name = _name([one for _, one in own], swept, base)
    folder = Path(configs[0][1].output_dir) / FOLDER / name
    cells = [_cell(words, config, swept) for words, config in configs]
    sweep = Sweep(name, folder, code_digest(), list({cell.id: cell for cell in cells}.values()))
    return _written(sweep)


def _unfit(key: str, is_swept: bool) -> str | None:
    if key == "run_dir":
        return "every cell of a sweep has a folder of its own; output_dir=… names the folder above"
    if is_swept and key.partition(".")[0] in NON_IDENTITY_KEYS:
        return f"all cells of a sweep have one {key}: it changes nothing that they compute"
    return None


def _values(word: str, override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [word]
    key = word.partition("=")[0]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _name(own: list[Override], swept: set[str], base: list[str]) -> str:
    """What the user calls it, else the keys that it varies and a hash of these and of all its other words."""
    given = [str(one.value()) for one in own if one.key_or_group == "sweep" and one.value() is not None]
    if given:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=-]*", given[-1]):
            raise ConfigError([f"sweep={given[-1]}: the name is a folder's; take letters, digits and any of . _ = -"])
        return given[-1]
    keys = sorted(swept)
    shown = "-".join(key.rpartition(".")[2] for key in keys)[:MOST_IN_NAME]
    return f"{shown or 'one'}-{digest([keys, base])[:6]}"


def _cell(words: list[str], config: RunConfig, swept: set[str]) -> Cell:
    decisive = sorted(word for word in words if key_of(word).partition(".")[0] not in NON_IDENTITY_KEYS)
    label = " ".join(word for word in words if key_of(word) in swept)
    return Cell(config_hash(config), label or "no word swept", decisive, identity(config), [*rules.validate(config)])


def _written(sweep: Sweep) -> Sweep:
    """The sweep with the cells that it had before, as written into its record.

    Raises:
        ConfigError: its base is another now.
    """
    path = sweep.folder / RECORD
    sweep.folder.mkdir(parents=True, exist_ok=True)
    with FileLock(sweep.folder / ".lock"):
        before = load(sweep.folder)
        if before is not None:
            _must_be_same(before, sweep)
            own = {cell.id for cell in sweep.cells}
            sweep = replace(sweep, cells=[*(cell for cell in before.cells if cell.id not in own), *sweep.cells])
        write_atomic(path, json.dumps({"code": sweep.code, "cells": [vars(cell) for cell in sweep.cells]}) + "\n")
    return sweep


def _must_be_same(before: Sweep, now: Sweep) -> None:
    """See that cells of one name and of one command line compute the same as they did."""
    old = {tuple(cell.words): cell for cell in before.cells}
    changed = []
    if before.code != now.code:
        changed.append(f"kdrun's code is another than it began with (code {before.code}, now {now.code})")
    found = [text for cell in now.cells for text in _changes(old.get(tuple(cell.words)), cell)]
    varied = {key_of(word) for cell in [*before.cells, *now.cells] for word in cell.label.split()}
    bases = [{w for cell in one.cells for w in cell.words if key_of(w) not in varied} for one in (before, now)]
    found += [f"{word} was among its words" for word in sorted(bases[0] - bases[1])]
    found += [f"{word} was not among its words" for word in sorted(bases[1] - bases[0])]
    changed += list(dict.fromkeys(found))
    if changed:
        shown = changed if len(changed) <= MOST_SHOWN else [*changed[:MOST_SHOWN], f"… and {len(changed)} in all"]
        head = (
            f"the sweep {now.name} in {now.folder} began with another base, and its cells would not be alike; repeat "
            "it as it was, or begin another: sweep=NAME"
        )
        raise ConfigError([head, *shown])


def _changes(before: Cell | None, now: Cell) -> list[str]:
    return [] if before is None or before.id == now.id else config_differences(before.identity, now.identity)


def load(folder: Path) -> Sweep | None:
    """The sweep of a folder; None where there is none."""
    path = folder / RECORD
    if not path.is_file():
        return None
    made = json.loads(path.read_text(encoding="utf-8"))
    return Sweep(folder.name, folder, made["code"], [_current_cell(Cell(**cell)) for cell in made["cells"]])


def _current_cell(cell: Cell) -> Cell:
    """A cell as it was recorded, with the config keys of now; its id names its folder and stays."""
    overrides, method, label = rename_overrides(cell.words), cell.identity.get("method") or {}, cell.label
    for before, after in zip(cell.words, overrides, strict=True):
        label = label.replace(before, after)
    config = rename_config(cell.identity, [str(method.get("name"))])
    return replace(cell, label=label, words=overrides, identity=config)


def resolve_cell(config: RunConfig, console: Console) -> RunConfig | None:
    """Config of a cell that has to run or resume, with its folder; None if nothing is left to do.

    Args:
        config: of a run with `sweep` set.
        console: prints the decision.

    Raises:
        ConfigError: the cell's folder is of a run that read other rows.
    """
    folder = Path(config.output_dir) / FOLDER / (config.sweep or "")
    sweep = load(folder)
    cell = next((cell for cell in sweep.cells if cell.id == config_hash(config)), None) if sweep else None
    if cell is None:  # a plain run that is given a sweep's name
        return config
    key, own, name = reuse.run_key(config), folder / cell.id, f"cell {cell.id[:SHOWN]} ({cell.label})"
    there = reuse.find_run(Path(config.output_dir), key)
    if there is None:
        record = read_record(own)
        if record is not None and record.get("found", {}).get("data", key[2]) != key[2]:
            reason = "the rows that it reads are others now; give back the rows, or begin another sweep: sweep=NAME"
            raise ConfigError([f"{name} was begun in {own}, and {reason}"])
        console.print(f"{name}: runs in {own}")
        return replace(config, run_dir=str(own))
    if there.folder.absolute() != own.absolute():
        append_jsonl(folder / REUSED, {"cell": cell.id, "run_dir": str(there.folder)})
    if there.status is Status.done:
        console.print(f"{name}: done, {there.folder}")
    elif there.status is Status.running:
        console.print(f"{name}: runs in another process, {there.folder}")
    elif there.status is Status.failed and not config.retry:
        console.print(f"{name}: failed, {there.folder}; retry=true resumes it")
    else:
        console.print(f"{name}: was {there.status.value}, goes on in {there.folder}")
        return replace(config, run_dir=str(there.folder))
    return None


def cell_statuses(sweep: Sweep) -> list[dict[str, Any]]:
    """What became of each cell: its run's record of the ledger, if it has one, with `cell`, `label` and `status`."""
    runs = {run["run_id"]: run for run in read_runs(sweep.folder.parent.parent / LEDGER)}
    path = sweep.folder / REUSED
    lines = read_jsonl(path) if path.exists() else []
    taken = {line["cell"]: Path(line["run_dir"]) for line in lines}
    found = []
    for cell in sweep.cells:
        record = read_record(sweep.folder / cell.id) or read_record(taken.get(cell.id, sweep.folder))
        run = runs.get(record["run_id"]) if record is not None else None
        status = (REFUSED if cell.problems else PENDING) if run is None else status_of(run).value
        reason = {"error": "; ".join(cell.problems)} if cell.problems else {}
        found.append({**(run or {}), **reason, "cell": cell.id, "label": cell.label, "status": status})
    return found


def find_sweep(output_dir: Path, name: str) -> Sweep:
    """A sweep of an output folder.

    Raises:
        ConfigError: there is none of this name.
    """
    sweep = load(output_dir / FOLDER / name)
    if sweep is None:
        known = sorted(path.parent.name for path in (output_dir / FOLDER).glob(f"*/{RECORD}"))
        hint = f"{did_you_mean(name, known)} (there are: {', '.join(known) or 'none'})"
        raise ConfigError([f"sweep={name}: no sweep in {output_dir / FOLDER} has this name{hint}"])
    return sweep
