"""`kdrun cost`: measure models side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from kdrun.config.fields import setting
from kdrun.errors import ConfigError, KdrunError

if TYPE_CHECKING:
    from kdrun.console import Console
    from kdrun.deployment.saved_folder import SavedFolder
    from kdrun.storage.cost_card import CostCard


class Format(Enum):
    """Form of the output."""

    terminal = "terminal"
    json = "json"


MOST_COLUMNS = 4
"""Models that are columns of the table on the screen; more are rows."""


@dataclass
class CostOptions:
    """Options of `kdrun cost`, besides the RUNS."""

    format: Format = setting(Format.terminal, "form of the output")
    rounds: int = setting(5, "times that each row is measured; the models take turns", gt=0)
    threads: int | None = setting(None, "CPU threads of every model; null is torch's default", gt=0)
    save: bool = setting(True, "write cost.json into the run directories, for their reports")
    offline: bool = setting(True, "open no socket to build teachers again")


OPTIONS = CostOptions
EXAMPLE = "kdrun cost outputs/kd/sst2/RUN"


def main(args: list[str]) -> int:
    """Measure teacher, student and exported files side by side on this machine's CPU: kdrun cost RUN_OR_FOLDER…

    A path is a run directory, a folder of a comparison (one run of each arm is measured), or a folder of a model that
    plain transformers saved. All models run the same dev rows of the first run, in turns.

    Parameters, with and without embedding tables; size of the weights; floating-point operations of the row of median
    length; latency of single rows (median and 95th percentile); rows per second in batches of 32; peak memory of a
    process that scores the 32 longest rows. Close other programs first: the load of the machine is reported.
    """
    from kdrun import progress
    from kdrun.cli.path_arguments import split_paths
    from kdrun.cli.verbosity import run_console
    from kdrun.config.options import parse_options
    from kdrun.deployment.saved_folder import find_saved

    names, others = split_paths(args, CostOptions)
    options, _ = parse_options(CostOptions, others)
    paths, problems, found = _expand([Path(name) for name in names]), [], []
    for path in paths:
        try:
            found.append(find_saved(path))
        except KdrunError as error:
            problems.append(str(error))
    problems += _problems(found) if paths and not problems else []
    if not paths:
        problems.append("name run directories, comparisons or model folders: kdrun cost RUN_OR_FOLDER…")
    if problems:
        raise ConfigError(problems)
    console = run_console()
    with progress.show_on(console):
        with progress.track("loading PyTorch and transformers"):
            from kdrun.runs import cost_comparison
        cards = cost_comparison.measure_folders(found, options.rounds, options.threads, offline=options.offline)
    if options.save:
        _save(found, cards)
    if options.format is Format.json:
        print(json.dumps(dict(zip(map(str, paths), cards, strict=True)), indent=1))
    else:
        _print(paths, cards, console)
    return 0


def _expand(paths: Sequence[Path]) -> list[Path]:
    """The paths, with a folder of a comparison replaced by one run of each arm."""
    from kdrun.reporting.html import run_reader

    expanded: list[Path] = []
    for path in paths:
        if not (path / run_reader.COMPARISON).is_file():
            expanded.append(path)
            continue
        record = run_reader.read_comparison(path)
        for arm in record["arms"]:
            folders = (run_reader.find_folder(name, path) for name in (arm.get("folders") or {}).values())
            run_dir = next((folder for folder in folders if folder is not None), None)
            if run_dir is None:
                raise ConfigError([f"{path}: no run directory of the arm {arm['name']} exists; repeat the comparison"])
            expanded.append(run_dir)
    return list(dict.fromkeys(expanded))


def _problems(found: Sequence[SavedFolder]) -> list[str]:
    """Why these models cannot run the same rows; empty if they can."""
    from kdrun.deployment.dev_rows import check_predictions

    runs = [saved.run for saved in found if saved.run is not None]
    if not runs:
        return ["name at least one run directory: its dev rows are the texts on which the models are measured"]
    problems = []
    for run in runs:
        try:
            run.result()
            check_predictions(run)
        except KdrunError as error:
            problems.append(str(error))
    numbers = {saved.num_texts for saved in found if saved.num_texts is not None}
    if len(numbers) > 1:
        problems.append("the models read one text per row and two texts per row; measure them in separate commands")
    return problems


def _save(found: Sequence[SavedFolder], cards: Sequence[CostCard]) -> None:
    from kdrun.storage.cost_card import COST
    from kdrun.storage.files import write_atomic

    for saved, card in zip(found, cards, strict=True):
        if saved.run is not None:
            write_atomic(saved.run.path / COST, json.dumps(card, indent=1) + "\n")


def _print(paths: Sequence[Path], cards: Sequence[CostCard], console: Console) -> None:
    from kdrun.reporting.cost_table import COLUMNS, cost_rows, machine_facts, notes

    rows: list[list[str]] = []
    for path, card in zip(paths, cards, strict=True):
        label = path.resolve().name if len(paths) > 1 else None
        rows += [row for row in cost_rows(card, label) if row not in rows]
    if len(rows) > MOST_COLUMNS:
        console.table("Cost of models", COLUMNS, rows)
    else:  # a column per model fits a terminal of 80 columns
        model, *figures = zip(COLUMNS, *rows, strict=True)
        console.table("Cost of models", list(model), [list(row) for row in figures])
    console.key_values("measured on", machine_facts(cards[0]))
    for note in dict.fromkeys(note for card in cards for note in notes(card)):
        console.note(note)
