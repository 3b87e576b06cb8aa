"""Write and print the record of a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.experiments.compare import display
from kdrun.progress import track
from kdrun.reporting.html import report
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
    folder = Path(config.output_dir) / "compare" / config.task.name / record["comparison_id"]
    make_folder(folder, Path(config.output_dir))
    write_atomic(folder / "comparison.json", json.dumps(record, indent=1) + "\n")
    append_jsonl(Path(config.output_dir) / LEDGER, record)
    display.print_comparison(record, console)
    console.print(f"comparison: {folder / 'comparison.json'}")
    if config.report:
        with track("writing the report"):
            path = report.write_comparison_report(folder)
        console.print(f"report: {path}")
    return folder
