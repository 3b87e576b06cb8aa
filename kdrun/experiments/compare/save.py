"""Write and print the record of a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.errors import DataError
from kdrun.experiments.compare import display
from kdrun.progress import track
from kdrun.reporting.html import report
from kdrun.reporting.html.run_reader import COMPARISON, read_comparison
from kdrun.storage.files import append_jsonl, make_folder, write_atomic
from kdrun.storage.ledger import LEDGER


def save_comparison(record: dict[str, Any], config: RunConfig, console: Console) -> Path:
    """Write comparison.json, a line of the ledger and the report, and print the comparison.

    Args:
        record: the comparison.
        config: of any of its runs.
        console: where to print.

    Returns:
        The folder of the comparison.
    """
    folder = _write(record, config)
    display.print_comparison(record, console)
    console.print(f"comparison: {folder / COMPARISON}")
    if config.report:
        with track("writing the report"):
            path = report.write_comparison_report(folder)
        console.print(f"report: {path}")
    return folder


def save_look(record: dict[str, Any], config: RunConfig, console: Console) -> None:
    """Write the record of an unfinished comparison, unless its folder has one of this look or a later one.

    Args:
        record: the comparison after the look.
        config: of any of its runs.
        console: where to print the path.
    """
    try:
        before = read_comparison(_folder(record, config))
    except DataError:  # no record, or a damaged one
        before = None
    if before is None or (not before.get("finished", True) and len(before["seeds"]) < len(record["seeds"])):
        console.print(f"verdicts so far: {_write(record, config) / COMPARISON}")


def _folder(record: dict[str, Any], config: RunConfig) -> Path:
    return Path(config.output_dir) / "compare" / config.task.name / record["comparison_id"]


def _write(record: dict[str, Any], config: RunConfig) -> Path:
    """Write comparison.json and a line of the ledger; the folder."""
    folder = _folder(record, config)
    make_folder(folder, Path(config.output_dir))
    write_atomic(folder / COMPARISON, json.dumps(record, indent=1) + "\n")
    append_jsonl(Path(config.output_dir) / LEDGER, record)
    return folder
