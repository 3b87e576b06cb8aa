"""Sweeps (`kdrun -m`): resumable cells with stable ids.

A cell is one combination of the swept values; its id is the hash of its config. A sweep records its cells and their
configs in `<output_dir>/sweeps/<name>/sweep.json`. Each cell runs in `<output_dir>/sweeps/<name>/<id>`. The ledger has
the status of each cell, so any process can read it. This module imports without torch.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from kdrun.experiments.sweep_record import FOLDER, RECORD, REUSED, REUSED_SHAPE, Cell, Sweep, cell_record, load
from kdrun.runs import completion
from kdrun.runs.provenance import code_digest
from kdrun.storage import claims
from kdrun.storage.files import append_jsonl, make_folder, read_valid_jsonl, write_atomic
from kdrun.storage.hashing import digest
from kdrun.storage.ledger import LEDGER, Status, read_runs, status_of
from kdrun.storage.run_record import code_difference, config_differences, read_record, shorten

PENDING, REFUSED = "waiting", "refused"
"""Statuses that only cells have: not started yet; invalid config."""
NAME, NAME_RULE = (
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*"),
    "the name is used for a folder; use letters, digits and . _ = -",
)
MAX_NAME_LENGTH = 40
ID_DIGITS = 8
"""Digits of a cell's id that are printed."""


def plan_sweep(overrides: Sequence[str]) -> Sweep | None:
    """Plan the sweep of a command line and record it; a sweep of the same name must have the same base settings.

    Returns:
        The sweep; None for a dry run, which records nothing.

    Raises:
        ConfigError: the overrides do not suit a sweep, or the recorded sweep of this name has another base.
    """
    parser = OverridesParser.create()
    all_parsed = [(override, parser.parse_override(override)) for override in overrides]
    swept_keys = {parsed.key_or_group for _, parsed in all_parsed if parsed.is_sweep_override()}
    run_overrides = [pair for pair in all_parsed if not pair[1].key_or_group.startswith("hydra")]
    problems = [
        f"{override}: {reason}"
        for override, parsed in run_overrides
        if (reason := _why_unsuitable(parsed.key_or_group, parsed.is_sweep_override())) is not None
    ]
    if problems:
        raise ConfigError(problems)
    axes = [_override_per_value(*pair) for pair in run_overrides if pair[1].key_or_group != "sweep"]
    configs = [(list(cell), compose.to_config(compose.compose(list(cell)))) for cell in itertools.product(*axes)]
    if configs[0][1].dry_run:
        return None
    base = sorted(
        override
        for override, parsed in run_overrides
        if not parsed.is_sweep_override() and parsed.key_or_group not in NON_IDENTITY_KEYS
    )
    return record_sweep(_name([parsed for _, parsed in run_overrides], swept_keys, base), configs, swept_keys)


PRECISION = "runtime.precision"


def record_sweep(name: str, configs: Sequence[tuple[list[str], RunConfig]], swept_keys: set[str]) -> Sweep:
    """Record the cells of a sweep.

    Args:
        name: name of the sweep.
        configs: overrides and config of each cell.
        swept_keys: keys whose values tell the cells apart.

    Raises:
        ConfigError: the recorded sweep of this name has another base.
    """
    folder = Path(configs[0][1].output_dir) / FOLDER / name
    cells = [make_cell(cell_overrides, config, swept_keys) for cell_overrides, config in configs]
    by_id = {cell.id: cell for cell in cells}
    return record_cells(Sweep(name, folder, code_digest(), list(by_id.values()), frozenset(by_id)))


def job_overrides(cell: Cell) -> list[str]:
    """The overrides of a cell for a job that may run on another machine, with the precision that it has on this one.

    Without it, `runtime.precision=auto` could make another cell of it there.
    """
    overrides = [override for override in cell.overrides if override != f"{PRECISION}=auto"]
    precision = (cell.identity.get("runtime") or {}).get("precision")
    if precision is None or any(override.startswith(f"{PRECISION}=") for override in overrides):
        return overrides
    return [*overrides, f"{PRECISION}={precision}"]


def _why_unsuitable(key: str, is_swept: bool) -> str | None:
    """Why a key cannot be set, or not be swept, in a sweep; None if it can."""
    if key == "run_dir":
        return "every cell of a sweep has a separate folder; output_dir=… names the folder above"
    if is_swept and key.partition(".")[0] in NON_IDENTITY_KEYS:
        return f"{key} does not change the numbers of a run, so a sweep has one value of it for all cells"
    return None


def _override_per_value(text: str, override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [text]
    key = text.partition("=")[0]
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _name(overrides: list[Override], swept_keys: set[str], base: list[str]) -> str:
    """Name of a sweep: the value of `sweep=`, otherwise the swept keys and a hash of them and the base overrides."""
    names = [str(o.value()) for o in overrides if o.key_or_group == "sweep" and o.value() is not None]
    if names:
        if not NAME.fullmatch(names[-1]):
            raise ConfigError([f"sweep={names[-1]}: {NAME_RULE}"])
        return names[-1]
    keys = sorted(swept_keys)
    prefix = "-".join(key.rpartition(".")[2] for key in keys)[:MAX_NAME_LENGTH]
    return f"{prefix or 'one'}-{digest([keys, base])[:6]}"


def make_cell(overrides: list[str], config: RunConfig, swept_keys: set[str]) -> Cell:
    """The cell of a config.

    Args:
        overrides: that the config was composed from.
        config: of its run.
        swept_keys: keys that distinguish the cells.
    """
    in_identity = sorted(override for override in overrides if not is_shared(override))
    label = " ".join(o for o in overrides if key_of(o) in swept_keys)
    return Cell(config_hash(config), label or "no key swept", in_identity, identity(config), [*rules.validate(config)])


def record_cells(sweep: Sweep) -> Sweep:
    """Record a sweep, and return it with the cells that were recorded before.

    Raises:
        ConfigError: the recorded sweep of this name has another base.
    """
    path = sweep.folder / RECORD
    make_folder(sweep.folder, sweep.folder.parent.parent)
    with claims.claimed(sweep.folder / ".lock"):
        before = load(sweep.folder)
        if before is not None:
            _check_same_base(before, sweep)
            ids = {cell.id for cell in sweep.cells}
            sweep = replace(sweep, cells=[*(cell for cell in before.cells if cell.id not in ids), *sweep.cells])
        write_atomic(path, json.dumps({"code": sweep.code, "cells": [cell_record(c) for c in sweep.cells]}) + "\n")
    return sweep


def _check_same_base(before: Sweep, now: Sweep) -> None:
    """Check that the recorded and the new cells of a sweep share code, base overrides and defaults.

    Raises:
        ConfigError: they differ; lists the differences.
    """
    old_cells = {tuple(cell.overrides): cell for cell in before.cells}
    changes = [text for cell in now.cells for text in _cell_differences(old_cells.get(tuple(cell.overrides)), cell)]
    swept_keys = {key_of(override) for cell in [*before.cells, *now.cells] for override in cell.label.split()}
    old_base, new_base = (
        {o for cell in sweep.cells for o in cell.overrides if key_of(o) not in swept_keys} for sweep in (before, now)
    )
    changes += [f"{override} was set, now it is not" for override in sorted(old_base - new_base)]
    changes += [f"{override} was not set, now it is" for override in sorted(new_base - old_base)]
    differences = [*code_difference(before.code, now.code), *dict.fromkeys(changes)]
    if differences:
        problem = (
            f"sweep {now.name} in {now.folder} was started with different settings, so its cells are not comparable; "
            "rerun it unchanged or start a new one with sweep=NAME"
        )
        raise ConfigError([problem, *shorten(differences)])


def _cell_differences(before: Cell | None, now: Cell) -> list[str]:
    return [] if before is None or before.id == now.id else config_differences(before.identity, now.identity)


def resolve_cell(config: RunConfig, console: Console) -> RunConfig | None:
    """Config of a cell that has to run or resume, with its folder; None if nothing is left to do.

    Args:
        config: of a run with `sweep` set.
        console: prints the decision.

    Raises:
        ConfigError: the run in the cell's folder has read other rows.
    """
    folder = Path(config.output_dir) / FOLDER / (config.sweep or "")
    sweep = load(folder)
    cell = next((cell for cell in sweep.cells if cell.id == config_hash(config)), None) if sweep else None
    if cell is None:  # a plain run with sweep=NAME
        return config
    key, cell_dir, name = reuse.run_key(config), folder / cell.id, f"cell {cell.id[:ID_DIGITS]} ({cell.label})"
    existing = reuse.find_run(Path(config.output_dir), key)
    if existing is None:
        record = read_record(cell_dir)
        if record is not None and record.get("found", {}).get("data", key[2]) != key[2]:
            remedy = "restore the data, or start a new sweep with sweep=NAME"
            raise ConfigError([f"{name}: the run in {cell_dir} has read other rows; {remedy}"])
        console.print(f"{name}: starts in {cell_dir}")
        return replace(config, run_dir=str(cell_dir))
    if existing.folder.absolute() != cell_dir.absolute():
        append_jsonl(folder / REUSED, {"cell": cell.id, "run_dir": str(existing.folder)})
    if existing.status is Status.done:
        console.print(f"{name}: done, {existing.folder}")
        if not completion.is_complete(existing.folder, config.report):
            return replace(config, run_dir=str(existing.folder))
    elif existing.status is Status.running:
        console.print(f"{name}: running in another process, {existing.folder}")
    elif existing.status is Status.failed and not config.retry:
        console.print(f"{name}: failed, {existing.folder}; retry=true resumes it")
    else:
        console.print(f"{name}: was {existing.status.value}, resumes in {existing.folder}")
        return replace(config, run_dir=str(existing.folder))
    return None


def is_shared(override: str) -> bool:
    """Whether an override changes no number, so that it is no part of a cell's recorded overrides."""
    return key_of(override).partition(".")[0] in NON_IDENTITY_KEYS


def remaining_cells(sweep: Sweep, retry: bool) -> list[Cell]:
    """The requested cells that have to run or resume.

    Args:
        sweep: the sweep.
        retry: whether failed cells are repeated.
    """
    remaining = {PENDING, Status.crashed.value, Status.interrupted.value, *([Status.failed.value] if retry else [])}
    ids = {cell["cell"] for cell in cell_statuses(sweep) if cell["status"] in remaining}
    return [cell for cell in sweep.cells if cell.id in ids & sweep.requested]


def cell_statuses(sweep: Sweep) -> list[dict[str, Any]]:
    """The ledger record of each cell's run, empty if it has not run, with the keys `cell`, `label` and `status`."""
    runs = {run["run_id"]: run for run in read_runs(sweep.folder.parent.parent / LEDGER)}
    lines = read_valid_jsonl(sweep.folder / REUSED, REUSED_SHAPE)
    reused = {line["cell"]: Path(line["run_dir"]) for line in lines}
    statuses = []
    for cell in sweep.cells:
        record = read_record(sweep.folder / cell.id) or read_record(reused.get(cell.id, sweep.folder))
        run = runs.get(record["run_id"]) if record is not None else None
        status = (REFUSED if cell.problems else PENDING) if run is None else status_of(run).value
        error = {"error": "; ".join(cell.problems)} if cell.problems else {}
        statuses.append({**(run or {}), **error, "cell": cell.id, "label": cell.label, "status": status})
    return statuses


def find_sweep(output_dir: Path, name: str) -> Sweep:
    """The sweep with this name in an output folder.

    Raises:
        ConfigError: the output folder has no such sweep.
    """
    sweep = load(output_dir / FOLDER / name)
    if sweep is None:
        names = sorted(path.parent.name for path in (output_dir / FOLDER).glob(f"*/{RECORD}"))
        hint = f"{did_you_mean(name, names)} (sweeps: {', '.join(names) or 'none'})"
        raise ConfigError([f"sweep={name}: no sweep in {output_dir / FOLDER} has this name{hint}"])
    return sweep
