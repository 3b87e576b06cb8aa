"""Whole runs on models of a few thousand weights, and readers of their files."""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console as RichConsole

from kdrun.config import compose
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.runs import runner
from kdrun.storage import ledger


class Finished(NamedTuple):
    """A run that has ended: its result, its folder, its console output."""

    result: Any
    run_dir: Path
    output: str


def smoke_config(tmp_path: Path, *overrides: str) -> RunConfig:
    """A run of `preset=smoke` that writes below `tmp_path`, without a report."""
    return compose.load_config(["preset=smoke", "report=false", f"output_dir={tmp_path}/out", *overrides])


def finish(config: RunConfig) -> Finished:
    """Run a config to its end."""
    text = io.StringIO()
    result = runner.run(config, Console(RichConsole(file=text, width=160)))
    assert result is not None
    if config.run_dir is not None:
        return Finished(result, Path(config.run_dir), text.getvalue())
    runs = ledger.read_runs(Path(config.output_dir) / ledger.LEDGER)
    done = [run for run in runs if run["status"] == "done" and "/domains/" not in run["run_dir"]]
    return Finished(result, Path(done[-1]["run_dir"]), text.getvalue())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
