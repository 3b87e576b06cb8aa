"""Plots and tables of score against cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from markupsafe import Markup

from kdrun.formatting import NOT_MEASURED, param_count, percent
from kdrun.reporting.cost_table import COLUMNS, cost_rows, machine_facts, notes
from kdrun.reporting.html import plots
from kdrun.reporting.html.arms import RunGroup
from kdrun.reporting.html.blocks import Block, Figure, Figures, Table, Text
from kdrun.reporting.html.run_reader import FinishedRun
from kdrun.reporting.html.svg import MUTED, PAPER, SERIES, to_svg
from kdrun.storage.cost_card import STUDENT, TEACHER, CostCard

FRONT = "not beaten"
SIZE, LATENCY = "parameters of the student", "latency of one row, p50 (ms)"
CAPTION = (
    "A filled mark is a student that no other one beats in both: none has a higher score at most at its cost. "
    "The hollow square is the teacher, for comparison."
)


@dataclass(frozen=True)
class Point:
    """A student, or the teacher, in a plot of score against cost."""

    name: str
    cost: float
    score: float
    color: int


def front(points: Sequence[Point]) -> set[str]:
    """Names of the points that no other one dominates.

    A point dominates another if it costs no more and scores no less, and is better in one of both.
    """
    return {
        point.name
        for point in points
        if not any(
            other.cost <= point.cost
            and other.score >= point.score
            and (other.cost < point.cost or other.score > point.score)
            for other in points
        )
    }


def cost_blocks(run: FinishedRun) -> list[Block]:
    """The measured costs of a run; empty if they were not measured."""
    card = run.cost
    if card is None:
        return []
    facts = [f"{name}: {value}." for name, value in machine_facts(card)]
    return [Table("Measured cost", COLUMNS, cost_rows(card), [*facts, *notes(card)], num_text_columns=2)]


def pareto_blocks(arms: Sequence[RunGroup], scores: dict[str, float | None], metric: str) -> list[Block]:
    """Score of each arm against size and latency of its students.

    Args:
        arms: with the runs whose folders exist.
        scores: mean score of each arm by name.
        metric: name of the score.
    """
    known = [(arm, score) for arm in arms if arm.runs and (score := scores.get(arm.name)) is not None]
    sizes = [Point(arm.label, fmean(_params(arm, STUDENT)), score, arm.color) for arm, score in known]
    cards = {arm.label: _cards(arm) for arm, _ in known}
    times = [
        Point(arm.label, fmean([_latency(card) for card in cards[arm.label]]), score, arm.color)
        for arm, score in known
        if cards[arm.label]
    ]
    figures = []
    if len({point.cost for point in sizes}) > 1:
        figures.append(_figure(metric, sizes, _teacher(known, "size"), SIZE))
    comparable, note = _comparable([card for arm_cards in cards.values() for card in arm_cards])
    if len(times) > 1 and comparable:
        figures.append(_figure(metric, times, _teacher(known, "latency"), LATENCY))
    if not figures:
        return [Text(_why_no_plot(sizes, times, note), "small")] if len(known) > 1 else []
    blocks: list[Block] = [Figures(figures), _table(known, sizes, times if comparable else [], metric)]
    return [*blocks, *([Text(note, "small")] if note and times else [])]


def _cards(arm: RunGroup) -> list[CostCard]:
    return [card for run in arm.runs if (card := run.cost) and STUDENT in card["models"]]


def _latency(card: CostCard) -> float:
    return card["models"][STUDENT]["latency_p50_ms"]


def _params(arm: RunGroup, role: str) -> list[float]:
    results: list[Any] = [run.result for run in arm.runs]
    return [result[role]["params"] for result in results if result[role]]


def _comparable(cards: Sequence[CostCard]) -> tuple[bool, str]:
    """Whether latencies of these cards may be in one plot, and a note on it."""
    machines = {(card["machine"]["processor"], card["machine"]["threads"]) for card in cards}
    if len(machines) > 1:
        return False, "The latencies were measured on several machines or with several numbers of threads: no plot."
    if len({card["measured"] for card in cards}) > 1:
        return True, (
            "The latencies were measured in several measurements, at different times; kdrun cost with all runs or with "
            "the folder of the comparison measures them side by side."
        )
    return True, "The latencies were measured side by side." if cards else ""


def _why_no_plot(sizes: Sequence[Point], times: Sequence[Point], note: str) -> str:
    text = "Score against size: n/a (all students have one size)." if sizes else ""
    latency = note if times else "Score against latency: n/a (not measured; kdrun cost RUN_OR_FOLDER… measures it)."
    return f"{text} {latency}".strip()


def _teacher(known: Sequence[tuple[RunGroup, float]], kind: str) -> Point | None:
    """The teacher of all arms, if they share one."""
    points = set()
    for arm, _ in known:
        for run in arm.runs:
            score, teacher = run.score(TEACHER), run.result["teacher"]
            if score is None or teacher is None:
                continue
            model = run.cost["models"].get(TEACHER) if run.cost else None
            value = teacher["params"] if kind == "size" else model["latency_p50_ms"] if model else None
            if value is not None:
                points.add((float(value), score))
    scores = {score for _, score in points}
    if len(scores) != 1:
        return None
    return Point(TEACHER, fmean([value for value, _ in points]), scores.pop(), plots.ROLE_COLORS[TEACHER])


def _figure(metric: str, points: Sequence[Point], teacher: Point | None, axis: str) -> Figure:
    return Figure(scatter(metric, points, teacher, axis), f"{metric} against {axis}", CAPTION)


def scatter(metric: str, points: Sequence[Point], teacher: Point | None, axis: str) -> Markup:
    """Plot scores against a cost on a logarithmic axis; the front is joined by a line."""
    best = front(points)
    figure, axes = plots.canvas(260, left=56, right=26, bottom=42)
    axes.set_xscale("log")
    line = sorted((point for point in points if point.name in best), key=lambda point: point.cost)
    axes.plot([p.cost for p in line], [p.score for p in line], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    for point in points:
        color = SERIES[point.color % len(SERIES)]
        fill = color if point.name in best else PAPER
        axes.plot([point.cost], [point.score], "o", markersize=8, markerfacecolor=fill, markeredgecolor=color)
        axes.annotate(point.name, (point.cost, point.score), (6, 5), textcoords="offset points")
    if teacher is not None:
        color = SERIES[teacher.color]
        axes.plot([teacher.cost], [teacher.score], "s", markersize=8, markerfacecolor=PAPER, markeredgecolor=color)
        axes.annotate(teacher.name, (teacher.cost, teacher.score), (-6, -14), textcoords="offset points", ha="right")
    axes.set_xlabel(axis)
    drawn = [*points, *([teacher] if teacher else [])]
    low, high = min(point.cost for point in drawn), max(point.cost for point in drawn)
    axes.set_xlim(low / 1.3, high * 1.5)
    _ticks(axes, low, high, axis)
    plots.label_ticks(axes.yaxis)
    described = "; ".join(
        f"{point.name} {percent(point.score)} at {_cost(point.cost, axis)}{f', {FRONT}' if point.name in best else ''}"
        for point in drawn
    )
    return to_svg(figure, f"Scatter plot of {metric} against {axis}: {described}.")


def _ticks(axes: Any, low: float, high: float, axis: str) -> None:
    """A tick at both ends and between them; a logarithmic axis of less than a decade would have none."""
    from matplotlib.ticker import NullLocator

    values = sorted({low, (low * high) ** 0.5, high})
    axes.set_xticks(values)
    axes.set_xticklabels([_cost(value, axis) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())


def _cost(value: float, axis: str) -> str:
    return param_count(round(value)) if axis == SIZE else f"{value:.3g} ms"


def _table(
    known: Sequence[tuple[RunGroup, float]], sizes: Sequence[Point], times: Sequence[Point], metric: str
) -> Table:
    fronts = [front(sizes), front(times)]
    by_name = [{point.name: point for point in points} for points in (sizes, times)]
    rows = []
    for arm, score in known:
        cells = []
        for points, best, axis in zip(by_name, fronts, (SIZE, LATENCY), strict=True):
            point = points.get(arm.label)
            mark = FRONT if arm.label in best else "—"
            cells += [NOT_MEASURED, "—"] if point is None else [_cost(point.cost, axis), mark]
        rows.append([arm.full_name, percent(score), *cells])
    columns = ["arm", metric, "parameters", "by size", "p50 latency", "by latency"]
    return Table("Score against cost", columns, rows)
