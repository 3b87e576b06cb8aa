"""Mean ± standard deviation over seeds."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kdrun.errors import ConfigError, DataError, did_you_mean
from kdrun.formatting import NOT_MEASURED, mean_sd, percent
from kdrun.reporting.tables import run_facts
from kdrun.reporting.tables.grouping import Cell, Entry, group_into_cells
from kdrun.reporting.tables.published_values import TAGS, Published, method_value
from kdrun.reporting.tables.render import TextTable, csv_number
from kdrun.storage.ledger import FinishedRecord, finished_records

MAX_NAMES = 8
"""Most names of settings in a note."""


@dataclass(frozen=True)
class MeansSpec:
    """Rows, columns and scores of the table.

    Attributes:
        rows: axes of the rows.
        cols: axes of the columns.
        metric: metric of all cells; None for each task's headline metric.
        split: split of all cells; None for the headline's split.
        digits: decimals of a percentage.
        paper: whether published values are shown next to the scores.
    """

    rows: Sequence[str]
    cols: Sequence[str]
    metric: str | None = None
    split: str | None = None
    digits: int = 1
    paper: bool = False


@dataclass(frozen=True)
class Score:
    """Score of a cell in percent; `reason` says why it has no mean."""

    mean: float | None
    sd: float | None
    n: int
    reason: str = ""

    def text(self, digits: int) -> str:
        """Format the score as mean ± sd (n)."""
        return NOT_MEASURED if self.mean is None else f"{mean_sd(self.mean, self.sd, digits)} ({self.n})"


def make_table(runs: list[dict[str, Any]], spec: MeansSpec) -> TextTable:
    """Build the table of runs; runs that are not done are counted in a note.

    Raises:
        ConfigError: no run has the metric or the split.
        DataError: none of the runs is done.
    """
    finished = finished_records(runs)
    unfinished = Counter(run["status"] for run in runs if run["status"] != "done")
    left_out = ", ".join(f"{count} {status}" for status, count in unfinished.items())
    if not finished:
        raise DataError(f"none of the {len(runs)} runs is done ({left_out}); a table needs finished runs")
    _check_measured(finished, spec)
    cells = group_into_cells([_entry(run, spec) for run in finished], spec.rows, spec.cols)
    table = _lay_out(cells, spec)
    table.notes += _notes(cells, spec, table)
    if left_out:
        table.notes.append(f"Left out because they are not done: {left_out}.")
    return table


def _check_measured(finished: list[FinishedRecord], spec: MeansSpec) -> None:
    splits = sorted(
        {split for run in finished for split in (*run["student"]["metrics"], *(run.get("agreement") or {}))}
    )
    metrics = sorted({metric for run in finished for split in splits for metric in student_scores(run, split)})
    requests = (("metric", spec.metric, metrics), ("split", spec.split, splits))
    problems = [
        f"{key}={value}: no run has it{did_you_mean(value, choices)} (recorded: {', '.join(choices)})"
        for key, value, choices in requests
        if value is not None and value not in choices
    ]
    if problems:
        raise ConfigError(problems)


def _entry(run: FinishedRecord, spec: MeansSpec) -> Entry:
    return run_facts.run_entry(run, spec.metric or run["headline"]["metric"], spec.split or run["headline"]["split"])


def cell_score(cell: Cell) -> Score:
    """Compute mean and sample standard deviation over the seeds of a cell; undefined if one seed's score is."""
    values: dict[int, float | None] = {entry.run["seed"]: run_score(entry) for entry in cell.entries}
    missing = [str(seed) for seed, value in values.items() if value is None]
    percentages = [100 * value for value in values.values() if value is not None]
    if missing:
        recorded = cell.entries[0].recorded
        is_measured = recorded["metric"] in student_scores(cell.entries[0].run, recorded["split"] or "")
        problem = f"is undefined for seed {', '.join(missing)}" if is_measured else "was not measured"
        return Score(None, None, len(percentages), f"{recorded['metric']} on {recorded['split']} {problem}")
    return Score(
        statistics.mean(percentages), statistics.stdev(percentages) if len(percentages) > 1 else None, len(percentages)
    )


def run_score(entry: Entry, role: str = "student") -> float | None:
    """Return a role's score in a run, from -1 to 1; None if it has none."""
    split, metric, teacher = entry.recorded["split"] or "", entry.recorded["metric"] or "", entry.run["teacher"]
    if role == "teacher":
        return teacher["metrics"].get(split, {}).get(metric) if teacher else None
    return student_scores(entry.run, split).get(metric)


def student_scores(run: FinishedRecord, split: str) -> dict[str, float | None]:
    """Return the student's scores on a split by metric, and its agreement with the teacher but for divergences."""
    agreement = (run.get("agreement") or {}).get(split, {})
    shares = {name: value for name, value in agreement.items() if name != "teacher_kl"}
    return {**run["student"]["metrics"].get(split, {}), **shares}


def _lay_out(cells: list[Cell], spec: MeansSpec) -> TextTable:
    rows = _in_order([(cell.row, cell.variant) for cell in cells], spec.rows)
    cols = [col for col, _ in _in_order([(cell.col, "") for cell in cells], spec.cols)]
    at = {(cell.row, cell.variant, cell.col): cell for cell in cells}
    scores = {key: cell_score(cell) for key, cell in at.items()}
    headings = [_title(col, spec.cols, [cell for cell in cells if cell.col == col]) for col in cols]
    columns = [*spec.rows, *(name for head in headings for name in ([head, "paper"] if spec.paper else [head]))]
    width, best, lines = 1 + spec.paper, set(), []
    for i, (row, variant) in enumerate(rows):
        members = [cell for cell in cells if (cell.row, cell.variant) == (row, variant)]
        labels = [_title((text,), (axis,), members) for text, axis in zip(row, spec.rows, strict=True)]
        labels[-1] += f"  [{variant}]" if variant else ""
        line = []
        for j, col in enumerate(cols):
            cell = at.get((row, variant, col))
            line.append(scores[row, variant, col].text(spec.digits) if cell else NOT_MEASURED)
            line += [str(_published_value(cell) or NOT_MEASURED) if cell else NOT_MEASURED] * spec.paper
            if cell and _is_best(cell, scores, at, spec.digits):
                best.add((i, len(labels) + j * width))
        lines.append([*labels, *line])
    records = [_csv_row(cell, scores[key], spec) for key, cell in at.items()]
    return TextTable(_caption(cells), columns, lines, records, left=range(len(spec.rows)), best=best)


def _in_order(keys: list[tuple[tuple[str, ...], str]], axes: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """Return each key once, in order of first appearance of each axis's values; seeds by number."""
    rank: list[dict[str, int]] = [{} for _ in axes]
    for texts, _ in keys:
        for ranks, axis, text in zip(rank, axes, texts, strict=True):
            ranks.setdefault(text, int(text) if axis == "seed" else len(ranks))
    places = {key: i for i, key in reversed(list(enumerate(keys)))}
    return sorted(places, key=lambda key: (*(ranks[t] for ranks, t in zip(rank, key[0], strict=True)), places[key]))


def _title(texts: tuple[str, ...], axes: Sequence[str], members: list[Cell]) -> str:
    """Format a heading; a task is followed by its metric, and by its split if that is not dev."""
    parts = []
    for text, axis in zip(texts, axes, strict=True):
        metrics = {(c.entries[0].recorded["metric"], c.entries[0].recorded["split"]) for c in members}
        scores = [f"{metric}{'' if split == 'dev' else f' on {split}'}" for metric, split in metrics]
        parts.append(f"{text} {scores[0]}" if axis == "task" and len(scores) == 1 else text)
    return ", ".join(parts) or "score"


def _caption(cells: list[Cell]) -> str:
    pairs = {(c.entries[0].recorded["metric"], c.entries[0].recorded["split"]) for c in cells}
    metrics, splits = ({pair[i] for pair in pairs} for i in (0, 1))
    measure = f"{metrics.pop()} in percent" if len(metrics) == 1 else "percent"
    place = f" on {splits.pop()}" if len(splits) == 1 else ""
    return f"{measure[0].upper()}{measure[1:]}{place}, mean ± standard deviation over seeds (number of seeds)"


def _is_best(cell: Cell, scores: dict[Any, Score], at: dict[Any, Cell], digits: int) -> bool:
    """Return whether a cell is the best of its column at the digits shown, if the whole column is comparable."""
    column = {key: other for key, other in at.items() if other.col == cell.col and scores[key].mean is not None}
    mean = scores[cell.row, cell.variant, cell.col].mean
    if mean is None or len(column) < 2 or not _comparable(list(column.values())):
        return False
    means = {round(scores[key].mean or 0.0, digits) for key in column}
    return len(means) > 1 and round(mean, digits) == max(means)


def _comparable(column: list[Cell]) -> bool:
    names = ("task", "data", "metric", "split")
    return len({tuple(cell.entries[0].recorded[name] for name in names) for cell in column}) == 1


def _published_value(cell: Cell) -> Published | None:
    first = cell.entries[0]
    metric, split = first.recorded["metric"] or "", first.recorded["split"] or ""
    return None if first.run["synthetic"] else method_value(first.run["method"], first.run["task"], metric, split)


def _csv_row(cell: Cell, score: Score, spec: MeansSpec) -> dict[str, Any]:
    """Return a cell as a line of the CSV; mean and sd in percent."""
    first = cell.entries[0]
    line: dict[str, Any] = dict(zip((*spec.rows, *spec.cols), (*cell.row, *cell.col), strict=True))
    line |= {"difference": cell.difference, "metric": first.recorded["metric"], "split": first.recorded["split"]}
    line |= {"synthetic": str(bool(first.run["synthetic"])).lower()}
    line |= {"mean": csv_number(score.mean), "sd": csv_number(score.sd), "n": score.n}
    line |= {"seeds": " ".join(str(entry.run["seed"]) for entry in cell.entries), "reason": score.reason}
    if spec.paper:
        line |= dict(zip(("paper", "tag"), _published_value(cell) or ("", ""), strict=True))
    return line


def _notes(cells: list[Cell], spec: MeansSpec, table: TextTable) -> Iterator[str]:
    """Yield the notes below the table."""
    firsts = [cell.entries[0] for cell in cells]
    synthetic = dict.fromkeys(run_facts.task_name(e.run) for e in firsts if e.run["synthetic"])
    if synthetic:
        yield f"Synthetic data, generated by a grammar: {', '.join(synthetic)}. None of its numbers is a GLUE score."
    if table.best:
        yield "The best of each column is marked."
    if any(not _comparable([c for c in cells if c.col == cell.col]) for cell in cells):
        yield "Columns with different data, metrics or splits have no best cell."
    if any("=" in cell.variant for cell in cells):
        yield "[…] names settings in which rows differ; all settings that no row names are those of the preset."
    unnamed = dict.fromkeys(name for cell in cells for name in cell.unnamed)
    if unnamed:
        names = [*list(unnamed)[:MAX_NAMES], *(["…"] if len(unnamed) > MAX_NAMES else [])]
        yield f"Rows of one name also differ in {', '.join(names)}; format=csv has each row's values."
    yield from _teachers(firsts, spec)
    yield from _checkpoints(firsts)
    for cell in cells:
        name = f"{', '.join((*cell.row, *cell.col))}{f' [{cell.variant}]' if cell.variant else ''}"
        reason = cell_score(cell).reason
        if reason:
            yield f"n/a for {name}: {reason}."
        for seed in dict.fromkeys(entry.run["seed"] for entry in cell.repeated):
            times = 1 + sum(entry.run["seed"] == seed for entry in cell.repeated)
            yield f"{name}: seed {seed} was run {times} times with the same settings and code; the newest run is used."
    if len(cells) < len(table.rows) * len({cell.col for cell in cells}):
        yield "n/a: no finished run for this combination."
    if spec.paper:
        yield from _about_paper(cells, bool(synthetic))


def _checkpoints(firsts: list[Entry]) -> Iterator[str]:
    """Name the splits that chose the checkpoints, and held-out rows."""
    rows = dict.fromkeys((e.recorded["split"], text) for e in firsts if (text := e.run["headline"].get("rows")))
    yield from (f"{split}: {text}." for split, text in rows)
    choices = dict.fromkeys((entry.recorded["checkpoint"], entry.recorded["split"]) for entry in firsts)
    for checkpoint, split in choices:
        if not checkpoint:
            yield "Checkpoint: older runs did not record which split chose it."
        elif " on " not in checkpoint:
            yield f"Checkpoint: {checkpoint}."
        else:
            reported = "the split" if checkpoint.endswith(f" on {split}") else split
            yield f"Checkpoint: {checkpoint}, {reported} reported."


def _teachers(firsts: list[Entry], spec: MeansSpec) -> Iterator[str]:
    """Report the teachers' scores."""
    scores: dict[str, dict[str, None]] = {}
    for entry in firsts:
        score = run_score(entry, "teacher")
        if score is not None:
            text = f"{percent(score, spec.digits, unit='')} on {run_facts.task_name(entry.run)}"
            scores.setdefault(entry.recorded["teacher"] or "", {})[text] = None
    for name, texts in scores.items():
        yield f"Teacher {name}: {', '.join(texts)}."


def _about_paper(cells: list[Cell], synthetic: bool) -> Iterator[str]:
    tags = dict.fromkeys(published.tag for published in map(_published_value, cells) if published)
    sources = "".join(f"; [{tag}] {TAGS[tag]}" for tag in tags)
    yield f"paper: published for the same method, task, metric and split, with the paper's models and budget{sources}."
    if synthetic:
        yield "paper is n/a for synthetic data, which published values do not cover."
