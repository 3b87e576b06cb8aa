"""Runs of one setting side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from string import ascii_uppercase
from typing import Any

import numpy as np

from kdrun.config.identity import NON_IDENTITY_KEYS
from kdrun.formatting import count, duration, join_words, number, plural, shorten
from kdrun.reporting.html import agreement, extraction, plots, predictions
from kdrun.reporting.html.blocks import Block, Example, Examples, Figure, Figures, Folded, Key, Table, Text
from kdrun.reporting.html.curves import Curves, mean_curve, read_curves
from kdrun.reporting.html.plots import Line
from kdrun.reporting.html.run_reader import FinishedRun, get_path
from kdrun.reporting.html.svg import SERIES
from kdrun.storage.serialization import flatten

IGNORED = (*NON_IDENTITY_KEYS, "seed")
MOST_KEYS = 60
MOST_LABEL = 12
MOST_EXAMPLES = 12
MOST_FIGURES = 24


@dataclass(frozen=True)
class RunGroup:
    """Runs of one setting.

    Attributes:
        name: of the setting.
        label: its name in plots, a letter where names are too long for them.
        runs: those whose folders are there.
        colour: the number of its colour.
    """

    name: str
    label: str
    runs: list[FinishedRun]
    colour: int

    @property
    def full(self) -> str:
        """The name, with the letter it has in plots."""
        return self.name if self.label == self.name else f"{self.label}: {self.name}"


def make_arms(settings: Sequence[tuple[str, list[FinishedRun]]]) -> list[RunGroup]:
    """The arms of named settings in order; plots call them by name where all names are short, else by letters."""
    short = all(len(name) <= MOST_LABEL for name, _ in settings)
    return [
        RunGroup(name, name if short else _letter(place), runs, place) for place, (name, runs) in enumerate(settings)
    ]


def _letter(place: int) -> str:
    """A to Z, then A1 to Z1 and so on."""
    round_of, letter = divmod(place, len(ascii_uppercase))
    return ascii_uppercase[letter] + (str(round_of) if round_of else "")


def key(arms: Sequence[RunGroup]) -> list[Block]:
    """What the letters of the plots stand for, where they are letters."""
    if all(arm.label == arm.name for arm in arms):
        return []
    return [Key([(arm.label, arm.name, arm.colour % len(SERIES) + 1) for arm in arms])]


def compared_values(config: dict[str, Any]) -> dict[str, str]:
    """Return a config by dotted key, without the seed and the keys that do not change a run."""
    compared = {key: value for key, value in config.items() if key not in IGNORED}
    return {key: str(value) for key, value in flatten(compared).items()}


def differing(configs: Sequence[dict[str, str]]) -> list[str]:
    """The keys whose values are not the same in all configs, or that some lack."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({config.get(key) for config in configs}) > 1]


def config_blocks(arms: Sequence[RunGroup]) -> list[Block]:
    """What the arms' configs differ in, and each arm's config, folded."""
    there = [arm for arm in arms if arm.runs and arm.runs[0].config]
    if not there:
        return [Text("n/a (no run's config.yaml is there).")]
    configs = [compared_values(arm.runs[0].config) for arm in there]
    keys = differing(configs)
    made: list[Block] = []
    if len(there) > 1:
        rows = [[key, *(config.get(key, "—") for config in configs)] for key in keys[:MOST_KEYS]]
        notes = [f"{MOST_KEYS} of {len(keys)} keys are shown."] if len(keys) > MOST_KEYS else []
        if rows:
            table = Table("Keys that differ", ["key", *(arm.label for arm in there)], rows, notes, has_numbers=False)
            made.append(table)
        else:
            made.append(Text("The arms' configs differ in nothing but the seed."))
    return made + [Folded(f"The config of {arm.full}", code=arm.runs[0].config_text or "") for arm in there]


def curve_blocks(arms: Sequence[RunGroup], metric: str, split: str) -> list[Block]:
    """The headline score and each loss term by step, a line an arm: the mean of its runs and their range."""
    found = [(arm, [read_curves(run.metrics) for run in arm.runs if run.metrics]) for arm in arms]
    found = [(arm, curves) for arm, curves in found if curves]
    if not found:
        return [Text("n/a (no run's metrics.jsonl is there).")]
    lines = [_line(arm, [c.scores.get(metric, {}).get(split) for c in curves]) for arm, curves in found]
    figures = [_figure(f"{metric} on {split}", [line for line in lines if line])]
    keys = dict.fromkeys(key for _, curves in found for c in curves for key in _terms(c))
    for term, role in keys:
        lines = [_line(arm, [c.terms.get(term, {}).get(role) for c in curves]) for arm, curves in found]
        title = f"Loss ({role})" if term == "loss" else f"{term} ({role})"
        figures.append(_figure(title, [line for line in lines if line]))
    shown = [figure for figure in figures if figure is not None]
    told = "A line is the mean of an arm's runs at the steps all of them logged, its band the lowest and the highest."
    told += " Steps count on through the phases and through the turns of all roles."
    if len(shown) > MOST_FIGURES:
        told += f" {MOST_FIGURES} of {len(shown)} curves are shown."
    return [Text(told), *key(arms), Figures(shown[:MOST_FIGURES])]


def _terms(curves: Curves) -> list[tuple[str, str]]:
    return [(term, role) for term, roles in curves.terms.items() for role in roles]


def _line(arm: RunGroup, curves: Sequence[Any]) -> Line | None:
    known = [points for points in curves if points is not None]
    steps, means, low, high = mean_curve(known)
    return Line(arm.label, steps, means, arm.colour, low, high) if steps else None


def _figure(title: str, lines: list[Line]) -> Figure | None:
    if not lines:
        return None
    svg, group = plots.curves(title, lines)
    return Figure(svg, title, f"Each point is the mean of {group} logged ones." if group > 1 else "")


def measures(arms: Sequence[RunGroup]) -> list[Block]:
    """Agreement and calibration of each arm's students, means over its runs."""
    rows: list[list[str]] = []
    why: dict[str, list[str]] = {}
    for arm in arms:
        found = [_of_run(run) for run in arm.runs]
        missing = [reason for run in arm.runs if (reason := predictions.why_no_teacher(run))]
        if missing:
            why.setdefault(missing[0], []).append(arm.label)
        shown = [_mean_sd([values.get(key) for values in found]) for key in ("agreement", "student", "teacher")]
        rows.append([arm.full, str(len(found)), *shown])
    columns = ["arm", "runs", "agreement with the teacher", "student ECE", "teacher ECE"]
    notes = [f"{join_words(names)}: no agreement ({reason})." for reason, names in why.items()]
    notes.append("Means ± standard deviations over the runs. Agreement of scores is Pearson's correlation.")
    return [Table("Agreement and calibration by arm", columns, rows, notes)]


def _of_run(run: FinishedRun) -> dict[str, float | None]:
    splits = predictions.by_split(run)
    if not splits:
        return {}
    rows = next(iter(splits.values()))
    if agreement.is_regression(rows):
        columns = predictions.score_columns(rows, has_teacher=predictions.why_no_teacher(run) is None)
        known = columns.get("teacher")
        return {"agreement": None if known is None else agreement.correlation(known, columns["student"])}
    if agreement.is_extraction(rows):
        return {"agreement": extraction.agreement(rows) if predictions.why_no_teacher(run) is None else None}
    found = agreement.answers(rows)
    errors = {who: c.error for who in predictions.MODELS if (c := found.calibration(who))}
    return {"agreement": found.agreement(), **errors}


def _mean_sd(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    spread = f" ± {number(stdev(known))}" if len(known) > 1 else ""
    return number(fmean(known)) + spread if known else "n/a"


def row_blocks(arms: Sequence[RunGroup]) -> list[Block]:
    """The rows that the runs of one arm get right more often than those of another."""
    tables = {arm.label: table for arm in arms if (table := _right(arm))}
    if len(tables) < 2:
        return [Text("n/a (it takes predictions of classes from the runs of two arms).")]
    shared = sorted(set.intersection(*(set(table) for table in tables.values())))
    shares = np.array([[np.mean(table[key][0]) for key in shared] for table in tables.values()])
    gap = shares.max(axis=0) - shares.min(axis=0) if shared else np.array([])
    places = agreement.most(gap, MOST_EXAMPLES)
    if not places:
        return [Text("The arms are right and wrong on the same rows.")]
    items = []
    for place in places:
        row = next(iter(tables.values()))[shared[place]][1]
        facts = [("domain", row["domain"])] if "domain" in row else []
        facts.append(("gold", str(row["gold"])))
        facts += [
            (name, f"right in {sum(t[shared[place]][0])} of {len(t[shared[place]][0])}") for name, t in tables.items()
        ]
        texts = [(str(n), shorten(str(row[key]))) for n, key in enumerate(("text", "text_pair"), 1) if row.get(key)]
        items.append(Example(f"Row {row['id']}", texts or [predictions.NO_TEXT], facts))
    told = f"The {plural(len(items), 'row')} of {len(shared)} on which the arms' shares of right runs differ most."
    return [Text(told), *key(arms), Examples(items)]


def _right(arm: RunGroup) -> dict[int, tuple[list[bool], dict[str, Any]]]:
    """Row number → whether each run is right on it, and the row; empty for scores or where rows are missing."""
    found: dict[int, tuple[list[bool], dict[str, Any]]] = {}
    for run in arm.runs:
        splits = predictions.by_split(run)
        if not splits or agreement.is_regression(rows := next(iter(splits.values()))):
            return {}
        for row in rows:
            found.setdefault(row["id"], ([], row))[0].append(agreement.is_right(row))
    return found


def cost_row(arm: RunGroup, seconds: float | None, steps: dict[str, Any] | None) -> list[str]:
    """An arm's line of the table of costs; see `COST_COLUMNS`."""
    results = [run.result for run in arm.runs]
    rates, totals = (_known(results, "time", key) for key in ("examples_per_s", "total_s"))
    first = results[0] if results else {}
    taken = ", ".join(f"{role} {count(number_of)}" for role, number_of in (steps or {}).items()) or "n/a"
    return [
        arm.full,
        duration(fmean(totals) if totals else None),
        duration(seconds),
        taken,
        count(fmean(rates)) if rates else "n/a",
        count(get_path(first, "student", "params")),
        count(get_path(first, "teacher", "params")),
        number(get_path(first, "compression"), 2),
    ]


COST_COLUMNS = [
    "arm",
    "time a run",
    "of it training",
    "steps",
    "examples/s",
    "student's parameters",
    "teacher's parameters",
    "compression",
]


def _known(results: Sequence[dict[str, Any]], *keys: str) -> list[float]:
    return [value for result in results if (value := get_path(result, *keys)) is not None]
