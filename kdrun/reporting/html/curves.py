"""Learning curves from metrics.jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kdrun.reporting.html.shapes import NUMBER

NOT_TERMS = ("step", "phase", "epoch", "role", "lr", "grad_norm", "examples_per_s")
GAUGES = {"lr": "Learning rate", "grad_norm": "Gradient norm before clipping", "examples_per_s": "Examples per second"}
MAX_POINTS = 240
"""Most points per curve; longer curves are averaged in groups."""

Points = tuple[list[float], list[float]]
"""Steps and values."""


@dataclass(frozen=True)
class Span:
    """A named range of steps: a phase, or a turn of a role."""

    name: str
    start: float
    end: float


@dataclass
class Curves:
    """The logged values of a run.

    Attributes:
        terms: loss term → role → points.
        gauges: learning rate, gradient norm, rate → role → points.
        scores: metric → split → points.
        phases: phases in order; steps are counted across phases.
        turns: ranges of logged steps of one role, in phases with several roles.
        undefined: number of values that are missing from the curves because they were not finite.
    """

    terms: dict[str, dict[str, Points]] = field(default_factory=dict)
    gauges: dict[str, dict[str, Points]] = field(default_factory=dict)
    scores: dict[str, dict[str, Points]] = field(default_factory=dict)
    phases: list[Span] = field(default_factory=list)
    turns: list[Span] = field(default_factory=list)
    undefined: int = 0


@dataclass(frozen=True)
class Thinned:
    """A curve reduced to a limited number of points: means of `group` neighbors, with their range."""

    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    group: int


def read_curves(records: Iterable[dict[str, Any]]) -> Curves:
    """Sort the lines of metrics.jsonl into curves, and skip other lines."""
    curves, offset, phase, step, spans = Curves(), 0, None, 0, []
    for record in records:
        if not {"step", "phase"} <= record.keys() or not record.keys() & {"role", "eval"}:
            continue
        if phase is None or record["phase"] != phase or record["step"] < step:  # each phase counts its steps from 1
            offset, phase = offset + step, record["phase"]
            spans.append((phase, offset, []))
        step = record["step"]
        if "eval" in record:
            _add_scores(curves, offset + step, record["eval"])
        else:
            spans[-1][2].append((record["role"], offset + step))
            _add_step(curves, offset + step, record)
    ends = [*(start for _, start, _ in spans[1:]), offset + step]
    curves.phases = [Span(name, start, end) for (name, start, _), end in zip(spans, ends, strict=False)]
    for _, start, roles in spans:
        if len({role for role, _ in roles}) > 1:
            curves.turns += _turns(start, roles)
    return curves


def _add_step(curves: Curves, at: int, record: dict[str, Any]) -> None:
    for name, value in record.items():
        target = curves.gauges if name in GAUGES else curves.terms
        if name not in GAUGES and name in NOT_TERMS:
            continue
        _add(curves, target, name, record["role"], at, value)


def _add_scores(curves: Curves, at: int, scores: dict[str, dict[str, float | None]]) -> None:
    for split, values in scores.items():
        for metric, value in values.items():
            _add(curves, curves.scores, metric, split, at, value)


def _add(curves: Curves, target: dict[str, dict[str, Points]], name: str, line: str, at: int, value: Any) -> None:
    if value is None:
        curves.undefined += 1
    elif NUMBER.holds(value):
        steps, values = target.setdefault(name, {}).setdefault(line, ([], []))
        steps.append(at)
        values.append(float(value))


def _turns(start: float, roles: list[tuple[str, int]]) -> list[Span]:
    """Merge neighboring records of one role into spans, each from the record before it to its last."""
    spans: list[Span] = []
    for role, at in roles:
        if spans and spans[-1].name == role:
            spans[-1] = Span(role, spans[-1].start, at)
        else:
            spans.append(Span(role, spans[-1].end if spans else start, at))
    return spans


def thin(points: Points, most: int = MAX_POINTS) -> Thinned:
    """Reduce a curve to at most `most` points, each the mean of equally many neighbors."""
    steps, values = np.asarray(points[0], dtype=float), np.asarray(points[1], dtype=float)
    group = max(1, -(-len(steps) // most))
    starts = np.arange(0, len(steps), group)
    sizes = np.diff(np.append(starts, len(steps)))
    means = (np.add.reduceat(steps, starts) / sizes, np.add.reduceat(values, starts) / sizes)
    return Thinned(*means, np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts), group)


def mean_curve(curves: Sequence[Points]) -> tuple[list[float], list[float], list[float], list[float]]:
    """Average several runs' curves at the steps that all of them logged.

    Returns:
        Steps, means, lowest values, highest values.
    """
    tables = [dict(zip(*points, strict=True)) for points in curves]
    shared = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    stacked = [[table[step] for table in tables] for step in shared]
    return shared, [sum(v) / len(v) for v in stacked], [min(v) for v in stacked], [max(v) for v in stacked]
