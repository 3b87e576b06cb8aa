"""Last steps of a finished run: delete leftovers, link weights, write report.

A process can be killed after the run is recorded as done and before these steps. They are repeated until they succeed,
by the same command, by `kdrun resume=RUN_DIR` and by a sweep. This module imports without torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from kdrun import progress
from kdrun.console import Console
from kdrun.reporting.html import report
from kdrun.storage.hard_links import link_equal_files

LAST = "last"
"""Name of the newest checkpoint, which stays."""


def is_complete(run_dir: Path, with_report: bool) -> bool:
    """Whether a finished run has no leftovers and, if it should have one, a report."""
    return next(_leftovers(run_dir), None) is None and (not with_report or (run_dir / report.REPORT).is_file())


def complete(run_dir: Path, with_report: bool, console: Console) -> None:
    """Delete older checkpoints and temporary files, store equal weights once, and write the report.

    Args:
        run_dir: the folder of a finished run.
        with_report: whether the run should have a report.
        console: for the path of the report.

    Raises:
        DataError: a file that the report shows is damaged.
    """
    for path in list(_leftovers(run_dir)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    link_equal_files(run_dir)
    if with_report:
        with progress.track("writing the report"):
            path = report.write_run_report(run_dir)
        console.print(f"report: {path}")


def _leftovers(run_dir: Path) -> Iterator[Path]:
    """Checkpoints besides the newest one, and temporary files and folders of processes that were killed."""
    checkpoints = run_dir / "checkpoints"
    yield from checkpoints.glob(f"{LAST}.*")
    yield from run_dir.glob(".lock")  # no process uses the folder of a finished run
    for folder in (run_dir, checkpoints):
        yield from folder.glob(".*.tmp*")
        yield from folder.glob(".*.old")
