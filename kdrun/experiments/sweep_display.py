"""Print the cells of a sweep."""

from __future__ import annotations

from typing import Any

from kdrun.console import Console
from kdrun.experiments.sweeps import ID_DIGITS, Sweep
from kdrun.formatting import number, percent
from kdrun.storage.ledger import Status


def print_sweep(sweep: Sweep, cells: list[dict[str, Any]], console: Console) -> None:
    """Print one table of the cells, and the errors of those that failed."""
    rows = []
    for cell in cells:
        seconds = number(cell.get("seconds"), 0)
        rows.append([cell["label"], cell["cell"][:ID_DIGITS], *_scores(cell), seconds, cell["status"]])
    note = ", synthetic data" if any(cell.get("synthetic") for cell in cells) else ""
    columns = ["run", "cell", "score", "teacher", "student", "retention", "time (s)", "status"]
    console.table(f"sweep {sweep.name}{note}", columns, rows)
    for cell in cells:
        if cell.get("error") and cell["status"] != Status.done.value:
            console.print(f"{cell['cell'][:ID_DIGITS]} {cell['status']}: {cell['error'].splitlines()[0]}")


def _scores(cell: dict[str, Any]) -> list[str]:
    if cell["status"] != Status.done.value:
        return ["n/a"] * 4
    metric, split = cell["headline"]["metric"], cell["headline"]["split"]
    teacher_score = cell["teacher"]["metrics"][split][metric] if cell["teacher"] else None
    return [
        f"{split} {metric}",
        percent(teacher_score),
        percent(cell["student"]["metrics"][split][metric]),
        percent(cell["retention"]),
    ]
