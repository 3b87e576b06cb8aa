"""Print the cells of a sweep."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, stdev
from typing import Any

from kdrun.config.overrides import key_of
from kdrun.console import Console
from kdrun.experiments.sweeps import ID_DIGITS, Cell, Sweep
from kdrun.formatting import NOT_MEASURED, first_line, number, percent, percent_sd
from kdrun.storage.ledger import Status

BEST = " *"


def print_sweep(sweep: Sweep, cells: list[dict[str, Any]], console: Console) -> None:
    """Print a table of the cells, one of the means over seeds, and the errors of the cells that failed."""
    names = {cell.id: swept_values(cell) for cell in sweep.cells}
    axes = list(dict.fromkeys(key for values in names.values() for key in values))
    rows = []
    for cell in cells:
        values = [names.get(cell["cell"], {}).get(key, "") for key in axes]
        seconds = number(cell.get("seconds"), 0)
        rows.append([*values, cell["cell"][:ID_DIGITS], *_scores(cell), seconds, cell["status"]])
    note = ", synthetic data" if any(cell.get("synthetic") for cell in cells) else ""
    columns = ["cell", "score", "teacher", "student", "retention", "time (s)", "status"]
    console.table(f"sweep {sweep.name}{note}", [*column_names(axes), *columns], rows)
    if "seed" in axes:
        _print_means(sweep, cells, console)
    for cell in cells:
        if cell.get("error") and cell["status"] != Status.done.value:
            console.print(f"{cell['cell'][:ID_DIGITS]} {cell['status']}: {first_line(cell['error'])}")


def swept_values(cell: Cell) -> dict[str, str]:
    """Values of the swept keys of a cell."""
    label = f" {cell.label} "
    swept = [override for override in cell.overrides if f" {override} " in label]
    swept.sort(key=lambda override: label.index(f" {override} "))
    return {key_of(override): override.partition("=")[2] for override in swept}


def column_names(keys: list[str]) -> list[str]:
    """Last parts of keys, or whole keys where these are equal."""
    counts = Counter(key.rpartition(".")[2] for key in keys)
    return [last if counts[last := key.rpartition(".")[2]] == 1 else key for key in keys]


def _print_means(sweep: Sweep, cells: list[dict[str, Any]], console: Console) -> None:
    """Print the mean over the seeds of each combination of the other values; mark the best if all are comparable."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    names = {cell.id: swept_values(cell) for cell in sweep.cells}
    axes = [key for key in dict.fromkeys(key for values in names.values() for key in values) if key != "seed"]
    for cell in cells:
        if cell["status"] == Status.done.value:
            values = names.get(cell["cell"], {})
            groups.setdefault(tuple(values.get(key, "") for key in axes), []).append(cell)
    means = {values: _mean(members) for values, members in groups.items()}
    present = [mean for mean, _ in means.values() if mean is not None]
    scored = {(c.get("data_name") or c["task"], _score_name(c)) for members in groups.values() for c in members}
    best = round(max(present), 3) if len(scored) == 1 and len(means) > 1 and present else None
    rows = []
    for values, members in groups.items():
        mean, sd = means[values]
        mark = BEST if best is not None and mean is not None and round(mean, 3) == best else ""
        teachers = [score for cell in members if (score := _score(cell, "teacher")) is not None]
        teacher = percent(fmean(teachers) if teachers else None)
        score = f"{percent_sd(mean, sd)}{mark}"
        rows.append([*values, _score_name(members[0]), teacher, score, str(len(members))])
    if rows:
        columns = [*column_names(axes), "score", "teacher", "student, mean ± sd", "seeds"]
        console.table("means over seeds" + (f" ({BEST.strip()} best)" if best is not None else ""), columns, rows)


def _mean(cells: list[dict[str, Any]]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of the students' scores; None if a score is undefined."""
    scores = [_score(cell, "student") for cell in cells]
    present = [score for score in scores if score is not None]
    if len(present) < len(scores):
        return None, None
    return fmean(present), stdev(present) if len(present) > 1 else None


def _score(cell: dict[str, Any], role: str) -> float | None:
    """Headline score of a role; None if it has none."""
    metric, split = cell["headline"]["metric"], cell["headline"]["split"]
    return cell[role]["metrics"][split][metric] if cell[role] else None


def _score_name(cell: dict[str, Any]) -> str:
    return f"{cell['headline']['split']} {cell['headline']['metric']}"


def _scores(cell: dict[str, Any]) -> list[str]:
    if cell["status"] != Status.done.value:
        return [NOT_MEASURED] * 4
    scores = [percent(_score(cell, role)) for role in ("teacher", "student")]
    return [_score_name(cell), *scores, percent(cell["retention"])]
