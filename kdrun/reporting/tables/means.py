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
from kdrun.reporting.tables.grouping import Cell, Entry, cells
from kdrun.reporting.tables.published_values import TAGS, Published, published
from kdrun.reporting.tables.render import TextTable, csv_number


@dataclass(frozen=True)
class MeansSpec:
    """What the table shows.

    Attributes:
        rows: axes of the rows.
        cols: axes of the columns.
        metric: None is each task's headline.
        split: None is the headline's.
        digits: decimals of a percentage.
        paper: whether published values stand beside.
    """

    rows: Sequence[str]
    cols: Sequence[str]
    metric: str | None = None
    split: str | None = None
    digits: int = 1
    paper: bool = False


@dataclass(frozen=True)
class Score:
    """What a cell says, in percent; `reason` why it has no mean."""

    mean: float | None
    sd: float | None
    n: int
    reason: str = ""

    def text(self, digits: int) -> str:
        """Mean ± sd (n)."""
        return NOT_MEASURED if self.mean is None else f"{mean_sd(self.mean, self.sd, digits)} ({self.n})"


def make_table(runs: list[dict[str, Any]], wanted: MeansSpec) -> TextTable:
    """The table of some runs; those that are not done are counted below it.

    Raises:
        ConfigError: no run has the metric or the split.
        DataError: none of the runs is done.
    """
    done = [run for run in runs if run["status"] == "done"]
    others = Counter(run["status"] for run in runs if run["status"] != "done")
    left_out = ", ".join(f"{count} {status}" for status, count in others.items())
    if not done:
        raise DataError(f"none of the {len(runs)} runs is done ({left_out}); a table is made of finished runs")
    _check_known(done, wanted)
    found = cells([_entry(run, wanted) for run in done], wanted.rows, wanted.cols)
    made = _lay_out(found, wanted)
    made.notes += _notes(found, wanted, made)
    if left_out:
        made.notes.append(f"Left out, as they are not done: {left_out}.")
    return made


def _check_known(done: list[dict[str, Any]], wanted: MeansSpec) -> None:
    splits = sorted({split for run in done for split in run["student"]["metrics"]})
    metrics = sorted({m for run in done for values in run["student"]["metrics"].values() for m in values})
    pairs = (("metric", wanted.metric, metrics), ("split", wanted.split, splits))
    problems = [
        f"{key}={value}: no run has it{did_you_mean(value, known)} (there are: {', '.join(known)})"
        for key, value, known in pairs
        if value is not None and value not in known
    ]
    if problems:
        raise ConfigError(problems)


def _entry(run: dict[str, Any], wanted: MeansSpec) -> Entry:
    return run_facts.run_entry(
        run, wanted.metric or run["headline"]["metric"], wanted.split or run["headline"]["split"]
    )


def score(cell: Cell) -> Score:
    """Mean and sample standard deviation over the seeds of a cell; undefined where one of them is."""
    values: dict[int, float | None] = {entry.run["seed"]: value(entry) for entry in cell.entries}
    absent = [str(seed) for seed, found in values.items() if found is None]
    known = [100 * found for found in values.values() if found is not None]
    if absent:
        recorded = cell.entries[0].recorded
        measured = recorded["metric"] in cell.entries[0].run["student"]["metrics"].get(recorded["split"] or "", {})
        why = f"is undefined for seed {', '.join(absent)}" if measured else "was not measured"
        return Score(None, None, len(known), f"{recorded['metric']} on {recorded['split']} {why}")
    return Score(statistics.mean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def value(entry: Entry, role: str = "student") -> float | None:
    """A role's score in a run, from -1 to 1; None where it has none."""
    found = entry.run[role]["metrics"] if entry.run.get(role) else {}
    return found.get(entry.recorded["split"], {}).get(entry.recorded["metric"])


def _lay_out(found: list[Cell], wanted: MeansSpec) -> TextTable:
    rows = _in_order([(cell.row, cell.variant) for cell in found], wanted.rows)
    cols = [col for col, _ in _in_order([(cell.col, "") for cell in found], wanted.cols)]
    at = {(cell.row, cell.variant, cell.col): cell for cell in found}
    scores = {key: score(cell) for key, cell in at.items()}
    heads = [_title(col, wanted.cols, [cell for cell in found if cell.col == col]) for col in cols]
    columns = [*wanted.rows, *(name for head in heads for name in ([head, "paper"] if wanted.paper else [head]))]
    step, best, lines = 1 + wanted.paper, set(), []
    for i, (row, variant) in enumerate(rows):
        here = [cell for cell in found if (cell.row, cell.variant) == (row, variant)]
        names = [_title((text,), (axis,), here) for text, axis in zip(row, wanted.rows, strict=True)]
        names[-1] += f"  [{variant}]" if variant else ""
        line = []
        for j, col in enumerate(cols):
            cell = at.get((row, variant, col))
            line.append(scores[row, variant, col].text(wanted.digits) if cell else NOT_MEASURED)
            line += [str(_published(cell) or NOT_MEASURED) if cell else NOT_MEASURED] * wanted.paper
            if cell and _is_best(cell, scores, at, wanted.digits):
                best.add((i, len(names) + j * step))
        lines.append([*names, *line])
    records = [_record(cell, scores[key], wanted) for key, cell in at.items()]
    return TextTable(_caption(found), columns, lines, records, left=range(len(wanted.rows)), best=best)


def _in_order(keys: list[tuple[tuple[str, ...], str]], axes: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """Each key once, as the values of each axis first appear; seeds by number."""
    rank: list[dict[str, int]] = [{} for _ in axes]
    for texts, _ in keys:
        for known, axis, text in zip(rank, axes, texts, strict=True):
            known.setdefault(text, int(text) if axis == "seed" else len(known))
    places = {key: i for i, key in reversed(list(enumerate(keys)))}
    return sorted(places, key=lambda key: (*(known[t] for known, t in zip(rank, key[0], strict=True)), places[key]))


def _title(texts: tuple[str, ...], axes: Sequence[str], members: list[Cell]) -> str:
    """A heading; beside a task stand its metric and, when it is not dev, its split."""
    said = []
    for text, axis in zip(texts, axes, strict=True):
        metrics = {(c.entries[0].recorded["metric"], c.entries[0].recorded["split"]) for c in members}
        told = [f"{metric}{'' if split == 'dev' else f' on {split}'}" for metric, split in metrics]
        said.append(f"{text} {told[0]}" if axis == "task" and len(told) == 1 else text)
    return ", ".join(said) or "score"


def _caption(found: list[Cell]) -> str:
    pairs = {(c.entries[0].recorded["metric"], c.entries[0].recorded["split"]) for c in found}
    metrics, splits = ({pair[i] for pair in pairs} for i in (0, 1))
    what = f"{metrics.pop()} in percent" if len(metrics) == 1 else "percent"
    where = f" on {splits.pop()}" if len(splits) == 1 else ""
    return f"{what[0].upper()}{what[1:]}{where}, mean ± standard deviation over seeds (how many)"


def _is_best(cell: Cell, scores: dict[Any, Score], at: dict[Any, Cell], digits: int) -> bool:
    """Whether it is the best of its column, as far as is shown; only where all of the column compares."""
    column = {key: other for key, other in at.items() if other.col == cell.col and scores[key].mean is not None}
    own = scores[cell.row, cell.variant, cell.col].mean
    if own is None or len(column) < 2 or not _comparable(list(column.values())):
        return False
    shown = {round(scores[key].mean or 0.0, digits) for key in column}
    return len(shown) > 1 and round(own, digits) == max(shown)


def _comparable(column: list[Cell]) -> bool:
    names = ("task", "data", "metric", "split")
    return len({tuple(cell.entries[0].recorded[name] for name in names) for cell in column}) == 1


def _published(cell: Cell) -> Published | None:
    first = cell.entries[0]
    metric, split = first.recorded["metric"] or "", first.recorded["split"] or ""
    return None if first.run["synthetic"] else published(first.run["method"], first.run["task"], metric, split)


def _record(cell: Cell, found: Score, wanted: MeansSpec) -> dict[str, Any]:
    """A cell as a line of the CSV; mean and sd in percent."""
    first = cell.entries[0]
    line: dict[str, Any] = dict(zip((*wanted.rows, *wanted.cols), (*cell.row, *cell.col), strict=True))
    line |= {"difference": cell.variant, "metric": first.recorded["metric"], "split": first.recorded["split"]}
    line |= {"synthetic": str(bool(first.run["synthetic"])).lower()}
    line |= {"mean": csv_number(found.mean), "sd": csv_number(found.sd), "n": found.n}
    line |= {"seeds": " ".join(str(entry.run["seed"]) for entry in cell.entries), "reason": found.reason}
    if wanted.paper:
        line |= dict(zip(("paper", "tag"), _published(cell) or ("", ""), strict=True))
    return line


def _notes(found: list[Cell], wanted: MeansSpec, made: TextTable) -> Iterator[str]:
    """What a reader of the table has to know."""
    firsts = [cell.entries[0] for cell in found]
    synthetic = dict.fromkeys(run_facts.task_name(e.run) for e in firsts if e.run["synthetic"])
    if synthetic:
        yield f"Synthetic data, made by a grammar: {', '.join(synthetic)}. No number of it is a GLUE score."
    if made.best:
        yield "The best of each column is marked."
    if any(not _comparable([c for c in found if c.col == cell.col]) for cell in found):
        yield "No best is marked where a column holds different data, metrics or splits."
    if any("=" in cell.variant for cell in found):
        yield "[…] is what sets a row apart; a setting that is not named there is the preset's."
    yield from _teachers(firsts, wanted)
    yield from _checkpoints(firsts)
    for cell in found:
        where = f"{', '.join((*cell.row, *cell.col))}{f' [{cell.variant}]' if cell.variant else ''}"
        reason = score(cell).reason
        if reason:
            yield f"n/a for {where}: {reason}."
        for seed in dict.fromkeys(entry.run["seed"] for entry in cell.repeated):
            times = 1 + sum(entry.run["seed"] == seed for entry in cell.repeated)
            yield f"{where}: seed {seed} was run {times} times with the same settings and code; the newest counts."
    if len(found) < len(made.rows) * len({cell.col for cell in found}):
        yield "n/a where nothing else is said: there is no such finished run."
    if wanted.paper:
        yield from _about_paper(found, bool(synthetic))


def _checkpoints(firsts: list[Entry]) -> Iterator[str]:
    """Which split chose the checkpoints."""
    told = dict.fromkeys((entry.recorded["checkpoint"], entry.recorded["split"]) for entry in firsts)
    for chosen, split in told:
        if not chosen:
            yield "Checkpoint: which split chose it was not recorded by older runs."
        elif " on " not in chosen:
            yield f"Checkpoint: {chosen}."
        else:
            yield f"Checkpoint: {chosen}, {'the split' if chosen.endswith(f' on {split}') else split} reported."


def _teachers(firsts: list[Entry], wanted: MeansSpec) -> Iterator[str]:
    """The teachers' own scores."""
    told: dict[str, dict[str, None]] = {}
    for entry in firsts:
        own = value(entry, "teacher")
        if own is not None:
            text = f"{percent(own, wanted.digits, unit='')} on {run_facts.task_name(entry.run)}"
            told.setdefault(entry.recorded["teacher"] or "", {})[text] = None
    for name, texts in told.items():
        yield f"Teacher {name}: {', '.join(texts)}."


def _about_paper(found: list[Cell], synthetic: bool) -> Iterator[str]:
    tags = dict.fromkeys(known.tag for known in map(_published, found) if known)
    told = "".join(f"; [{tag}] {TAGS[tag]}" for tag in tags)
    yield f"paper: published for the same method, task, metric and split, with the paper's own models and budget{told}."
    if synthetic:
        yield "paper is n/a for synthetic data: published values do not compare with it."
