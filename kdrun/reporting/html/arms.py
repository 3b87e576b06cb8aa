"""Runs of one setting side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from string import ascii_uppercase
from typing import Any

import numpy as np

from kdrun.config.identity import NON_IDENTITY_KEYS
from kdrun.formatting import NOT_MEASURED, count, duration, join_words, mean_sd, number, percent_sd, plural, shorten
from kdrun.reporting.html import agreement, extraction, free_text, label_sets, plots, predictions
from kdrun.reporting.html.blocks import Block, Example, Examples, Figure, Figures, Folded, Key, Table, Text
from kdrun.reporting.html.curves import Curves, mean_curve, read_curves
from kdrun.reporting.html.plots import Line
from kdrun.reporting.html.run_reader import FinishedRun, get_path
from kdrun.reporting.html.svg import SERIES
from kdrun.storage.serialization import flatten

IGNORED = (*NON_IDENTITY_KEYS, "seed")
MAX_KEYS = 60
MAX_LABEL = 12
MAX_EXAMPLES = 12
MAX_FIGURES = 24


@dataclass(frozen=True)
class RunGroup:
    """Runs with the same settings.

    Attributes:
        name: name of the settings.
        label: name in plots; a letter where names are too long for plots.
        runs: runs whose folders exist.
        color: index of the color in plots.
    """

    name: str
    label: str
    runs: list[FinishedRun]
    color: int

    @property
    def full_name(self) -> str:
        """The name, preceded by the letter used in plots."""
        return self.name if self.label == self.name else f"{self.label}: {self.name}"


def make_arms(settings: Sequence[tuple[str, list[FinishedRun]]]) -> list[RunGroup]:
    """Build the arms of named settings; plots use the names where all are short, letters otherwise."""
    short = all(len(name) <= MAX_LABEL for name, _ in settings)
    return [
        RunGroup(name, name if short else _letter(place), runs, place) for place, (name, runs) in enumerate(settings)
    ]


def _letter(place: int) -> str:
    """Return A to Z, then A1 to Z1 and so on."""
    round_of, letter = divmod(place, len(ascii_uppercase))
    return ascii_uppercase[letter] + (str(round_of) if round_of else "")


def color_key(arms: Sequence[RunGroup]) -> list[Block]:
    """Explain the letters of the plots, where plots use letters."""
    if all(arm.label == arm.name for arm in arms):
        return []
    return [Key([(arm.label, arm.name, arm.color % len(SERIES) + 1) for arm in arms])]


def compared_values(config: dict[str, Any]) -> dict[str, str]:
    """Return a config by dotted key, without the seed and the keys that do not change a run."""
    compared = {key: value for key, value in config.items() if key not in IGNORED}
    return {key: str(value) for key, value in flatten(compared).items()}


def differing_keys(configs: Sequence[dict[str, str]]) -> list[str]:
    """Return the keys that differ between configs or are missing in some."""
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({config.get(key) for config in configs}) > 1]


def config_blocks(arms: Sequence[RunGroup]) -> list[Block]:
    """Show the keys in which the arms' configs differ, and each arm's config, folded."""
    arms_with_config = [arm for arm in arms if arm.runs and arm.runs[0].config]
    if not arms_with_config:
        return [Text("n/a (no run has a config.yaml).")]
    configs = [compared_values(arm.runs[0].config) for arm in arms_with_config]
    keys = differing_keys(configs)
    blocks: list[Block] = []
    if len(arms_with_config) > 1:
        rows = [[key, *(config.get(key, "—") for config in configs)] for key in keys[:MAX_KEYS]]
        notes = [f"{MAX_KEYS} of {len(keys)} keys are shown."] if len(keys) > MAX_KEYS else []
        if rows:
            table = Table(
                "Keys that differ", ["key", *(arm.label for arm in arms_with_config)], rows, notes, has_numbers=False
            )
            blocks.append(table)
        else:
            blocks.append(Text("The arms' configs differ only in the seed."))
    return blocks + [
        Folded(f"The config of {arm.full_name}", code=arm.runs[0].config_text or "") for arm in arms_with_config
    ]


def curve_blocks(arms: Sequence[RunGroup], metric: str, split: str) -> list[Block]:
    """Plot the headline score and each loss term by step, one line per arm: mean and range of its runs."""
    curves_by_arm = [(arm, [read_curves(run.metrics) for run in arm.runs if run.metrics]) for arm in arms]
    curves_by_arm = [(arm, curves) for arm, curves in curves_by_arm if curves]
    if not curves_by_arm:
        return [Text("n/a (no run has a metrics.jsonl).")]
    lines = [_line(arm, [c.scores.get(metric, {}).get(split) for c in curves]) for arm, curves in curves_by_arm]
    figures = [_figure(f"{metric} on {split}", [line for line in lines if line], in_percent=True)]
    keys = dict.fromkeys(key for _, curves in curves_by_arm for c in curves for key in _terms(c))
    for term, role in keys:
        lines = [_line(arm, [c.terms.get(term, {}).get(role) for c in curves]) for arm, curves in curves_by_arm]
        title = f"Loss ({role})" if term == "loss" else f"{term} ({role})"
        figures.append(_figure(title, [line for line in lines if line]))
    drawn = [figure for figure in figures if figure is not None]
    intro = "A line is the mean of an arm's runs at the steps that all of them logged; the band is their range."
    intro += " Steps are counted across phases and across the turns of all roles."
    if len(drawn) > MAX_FIGURES:
        intro += f" {MAX_FIGURES} of {len(drawn)} curves are shown."
    return [Text(intro), *color_key(arms), Figures(drawn[:MAX_FIGURES])]


def _terms(curves: Curves) -> list[tuple[str, str]]:
    return [(term, role) for term, roles in curves.terms.items() for role in roles]


def _line(arm: RunGroup, curves: Sequence[Any]) -> Line | None:
    logged = [points for points in curves if points is not None]
    steps, means, low, high = mean_curve(logged)
    return Line(arm.label, steps, means, arm.color, low, high) if steps else None


def _figure(title: str, lines: list[Line], *, in_percent: bool = False) -> Figure | None:
    if not lines:
        return None
    svg, group = plots.curves(title, lines, in_percent=in_percent)
    return Figure(svg, title, f"Each point is the mean of {group} logged ones." if group > 1 else "")


def agreement_blocks(arms: Sequence[RunGroup]) -> list[Block]:
    """Show agreement and calibration of each arm's students, averaged over its runs."""
    rows: list[list[str]] = []
    reasons: dict[str, list[str]] = {}
    for arm in arms:
        measures = [_run_measures(run) for run in arm.runs]
        missing_reasons = [reason for run in arm.runs if (reason := predictions.missing_teacher_reason(run))]
        if missing_reasons:
            reasons.setdefault(missing_reasons[0], []).append(arm.label)
        agreements = percent_sd(*_mean_sd([values.get("agreement") for values in measures]))
        errors = [mean_sd(*_mean_sd([values.get(key) for values in measures])) for key in ("student", "teacher")]
        rows.append([arm.full_name, str(len(measures)), agreements, *errors])
    columns = ["arm", "runs", "agreement with the teacher", "student ECE", "teacher ECE"]
    notes = [f"{join_words(names)}: agreement n/a ({reason})." for reason, names in reasons.items()]
    notes.append("Means ± standard deviations over the runs. For scores, agreement is Pearson's correlation.")
    return [Table("Agreement and calibration by arm", columns, rows, notes)]


def _run_measures(run: FinishedRun) -> dict[str, float | None]:
    splits = predictions.rows_by_split(run)
    if not splits:
        return {}
    rows = next(iter(splits.values()))
    if agreement.is_regression(rows):
        columns = predictions.score_columns(rows, has_teacher=predictions.missing_teacher_reason(run) is None)
        teacher = columns.get("teacher")
        return {"agreement": None if teacher is None else agreement.correlation(teacher, columns["student"])}
    if agreement.is_extraction(rows):
        return {"agreement": extraction.agreement(rows) if predictions.missing_teacher_reason(run) is None else None}
    if agreement.is_free_text(rows):
        return {"agreement": free_text.agreement(rows) if predictions.missing_teacher_reason(run) is None else None}
    if agreement.is_multi_label(rows):
        return {"agreement": label_sets.agreement(rows) if predictions.missing_teacher_reason(run) is None else None}
    pair = agreement.make_prediction_pair(rows)
    errors = {model: calibration.error for model in predictions.MODELS if (calibration := pair.calibration(model))}
    return {"agreement": pair.agreement(), **errors}


def _mean_sd(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    measured = [value for value in values if value is not None]
    return fmean(measured) if measured else None, stdev(measured) if len(measured) > 1 else None


def row_blocks(arms: Sequence[RunGroup]) -> list[Block]:
    """Show the rows that the runs of one arm predict correctly more often than those of another."""
    tables = {arm.label: table for arm in arms if (table := _correct_by_row(arm))}
    if len(tables) < 2:
        return [Text("n/a (this needs class predictions from the runs of two arms).")]
    shared = sorted(set.intersection(*(set(table) for table in tables.values())))
    shares = np.array([[np.mean(table[key][0]) for key in shared] for table in tables.values()])
    gap = shares.max(axis=0) - shares.min(axis=0) if shared else np.array([])
    places = agreement.largest_places(gap, MAX_EXAMPLES)
    if not places:
        return [Text("The arms are correct on the same rows.")]
    items = []
    for place in places:
        row = next(iter(tables.values()))[shared[place]][1]
        facts = [("domain", row["domain"])] if "domain" in row else []
        facts.append(("gold", predictions.label_text(row["gold"])))
        facts += [
            (name, f"correct in {sum(t[shared[place]][0])} of {len(t[shared[place]][0])}") for name, t in tables.items()
        ]
        texts = [(str(n), shorten(str(row[key]))) for n, key in enumerate(("text", "text_pair"), 1) if row.get(key)]
        items.append(Example(f"Row {shared[place]}", texts or [predictions.NO_TEXT], facts))
    intro = f"The {plural(len(items), 'row')} of {len(shared)} on which the arms' shares of correct runs differ most."
    return [Text(intro), *color_key(arms), Examples(items)]


def _correct_by_row(arm: RunGroup) -> dict[int, tuple[list[bool], dict[str, Any]]]:
    """Map each row number to the row and whether each run is correct on it; empty for scores or missing rows."""
    correct_by_row: dict[int, tuple[list[bool], dict[str, Any]]] = {}
    for run in arm.runs:
        splits = predictions.rows_by_split(run)
        if not splits or agreement.is_regression(rows := next(iter(splits.values()))):
            return {}
        for place, row in enumerate(rows):
            correct_by_row.setdefault(row.get("id", place), ([], row))[0].append(agreement.is_correct(row))
    return correct_by_row


def cost_row(arm: RunGroup, seconds: float | None, steps: dict[str, Any] | None) -> list[str]:
    """Return an arm's row of the cost table; see `COST_COLUMNS`."""
    results = [run.result for run in arm.runs]
    rates, totals = (_present_values(results, "time", key) for key in ("examples_per_s", "total_s"))
    first = results[0] if results else {}
    step_counts = ", ".join(f"{role} {count(number_of)}" for role, number_of in (steps or {}).items()) or NOT_MEASURED
    return [
        arm.full_name,
        duration(fmean(totals) if totals else None),
        duration(seconds),
        step_counts,
        count(fmean(rates)) if rates else NOT_MEASURED,
        count(get_path(first, "student", "params")),
        count(get_path(first, "teacher", "params")),
        number(first.get("compression"), 2),
    ]


COST_COLUMNS = [
    "arm",
    "time per run",
    "training time per run",
    "steps",
    "examples/s",
    "student's parameters",
    "teacher's parameters",
    "compression",
]


def _present_values(results: Sequence[Mapping[str, Any]], *keys: str) -> list[float]:
    return [value for result in results if (value := get_path(result, *keys)) is not None]
