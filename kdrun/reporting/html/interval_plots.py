"""Plots of scores by seed and of differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kdrun.reporting.html.plots import ROLE_COLORS, WIDTH, canvas, label_above, label_ticks, number_axes
from kdrun.reporting.html.svg import BAND, INK, MUTED, PAPER, SERIES, to_svg
from kdrun.reporting.tables import metric_format

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


STRIP = 0.2
"""Half of the height of a difference's row, in rows."""


@dataclass(frozen=True)
class Row:
    """A row of an interval plot.

    Attributes:
        name: name of the row.
        values: single values.
        mean: their mean.
        interval: interval of the mean; None without one.
        color: index of the color.
        note: text after the mean.
    """

    name: str
    values: Sequence[float]
    mean: float
    interval: tuple[float, float] | None
    color: int = 0
    note: str = ""


def dots(
    title: str, rows: Sequence[Row], line: tuple[str, float] | None, metric: str, *, width: float = WIDTH
) -> Markup:
    """Plot single scores, their mean and its interval, one row each, and optionally a reference line."""
    figure, axes = _rows_canvas(len(rows), 18, width)
    drawn = [value for row in rows for value in row.values] + ([line[1]] if line else [])
    _limits(axes, drawn, [row.interval for row in rows])
    for place, row in enumerate(rows):
        color = SERIES[row.color % len(SERIES)]
        if row.interval is not None:
            axes.plot(row.interval, [-place, -place], color=color, linewidth=1.4)
        axes.plot(row.values, [-place] * len(row.values), "o", color=color, alpha=0.55, markersize=6, markeredgewidth=0)
        axes.plot([row.mean], [-place], "D", markersize=6, markerfacecolor=PAPER, markeredgecolor=INK)
        label_above(axes, f"{row.name}\N{EN SPACE}{metric_format.score(metric, row.mean)}", None, -place, 0.2)
    if line is not None:
        axes.axvline(line[1], color=SERIES[ROLE_COLORS["teacher"]], linewidth=1.2, linestyle=(0, (5, 2)))
        text = f"{line[0]} {metric_format.score(metric, line[1])}"
        axes.text(line[1], 1.01, text, transform=axes.get_xaxis_transform(), ha="right", va="bottom", color=INK)
    _label_scores(axes.xaxis, metric)
    description = "; ".join(_dots_text(row, metric) for row in rows)
    description += f"; {line[0]} {metric_format.score(metric, line[1])}" if line else ""
    return to_svg(figure, f"Scores by seed: {title}", f"{description}.")


def _dots_text(row: Row, metric: str) -> str:
    values = ", ".join(metric_format.score(metric, value, unit=False) for value in row.values)
    ends = [metric_format.score(metric, end) for end in row.interval or ()]
    interval = f", interval {' to '.join(ends)}" if ends else ""
    return f"{row.name}: mean {metric_format.score(metric, row.mean)} of {values}{interval}"


def _label_scores(axis: Any, metric: str, *, unit: bool = True) -> None:
    """Label the ticks of an axis of scores, or without the unit of differences."""
    scale, name = (1, " nats") if metric_format.is_lower_better(metric) else (100, " %")
    label_ticks(axis, scale, name if unit else "")


def differences(title: str, rows: Sequence[Row], margin: float | None, metric: str) -> Markup:
    """Plot mean differences of scores with their intervals against zero and the tie margin."""
    figure, axes = _rows_canvas(len(rows), 18)
    ends = [x for row in rows for x in row.interval or ()] + [row.mean for row in rows] + [0.0]
    _limits(axes, ends + ([-margin, margin] if margin else []), [])
    tie = metric_format.margin(metric, margin) if margin else ""
    name = f"tie: within {tie}" if tie else "0"
    axes.text(0, 1.01, name, transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=MUTED)
    for place, row in enumerate(rows):
        low, high = -place - STRIP, -place + STRIP  # below the row's name, which no line crosses
        if margin:
            axes.fill_between([-margin, margin], low, high, color=BAND, linewidth=0)
            axes.vlines([-margin, margin], low, high, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.vlines(0, low, high, color=INK, linewidth=1)
        if row.interval is not None:
            axes.plot(row.interval, [-place, -place], "|-", color=SERIES[0], linewidth=2, markersize=9)
        axes.plot([row.mean], [-place], "D", markersize=6, color=SERIES[0])
        label_above(axes, _difference_label(row, metric), None, -place, 0.2)
    description = "; ".join(_difference_text(row, metric) for row in rows)
    description += f"; the margin of a tie is {tie}" if tie else ""
    _label_scores(axes.xaxis, metric, unit=False)
    return to_svg(figure, f"Intervals of {title}, in {metric_format.difference_unit(metric)}", f"{description}.")


def _difference_label(row: Row, metric: str) -> str:
    texts = (row.name, metric_format.difference(metric, row.mean), row.note)
    return "\N{EN SPACE}".join(text for text in texts if text)


def _difference_text(row: Row, metric: str) -> str:
    ends = " to ".join(metric_format.difference(metric, end) for end in row.interval or ())
    return f"{_difference_label(row, metric)}{f', {ends}' if ends else ''}"


def _rows_canvas(rows: int, top: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure, axes = canvas(40 * rows + 24 + top, width=width, left=10, right=16, top=top, bottom=24)
    axes.set_ylim(-rows + 0.65, 0.65)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _limits(axes: Axes, values: Sequence[float], intervals: Sequence[tuple[float, float] | None]) -> None:
    """Leave room for all values, and for the intervals unless they are much wider than the range of the values."""
    low, high = min(values), max(values)
    margin = (high - low) or abs(high) * 0.02 or 1.0
    for interval in intervals:
        if interval is not None:
            low, high = min(low, max(interval[0], low - margin)), max(high, min(interval[1], high + margin))
    pad = 0.06 * ((high - low) or margin)
    axes.set_xlim(low - pad, high + pad)
    number_axes(axes, y=False)
