"""Plots of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from kdrun.formatting import number, percent, plural
from kdrun.reporting.html.agreement import Calibration
from kdrun.reporting.html.curves import Span, thin
from kdrun.reporting.html.svg import BAND, INK, MUTED, SERIES, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 360, 216
"""Size of a plot in pixels; at 72 per inch, font sizes are pixels too."""
WIDE = 2 * WIDTH
"""Width of a plot that has the page's width for itself."""
MARGINS: dict[str, float] = {"left": 50, "right": 12, "top": 12, "bottom": 40}
AT_CORNER: Any = {"xycoords": "axes fraction", "textcoords": "offset points"}
DASHES: tuple[Any, ...] = ("-", "-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
ROLE_COLORS = {"student": 0, "teacher": 1, "generator": 2, "guess": 3}
"""Index of each role's color, the same in all plots."""


@dataclass(frozen=True)
class Line:
    """A curve: steps, values, name, index of its color, and optionally its range."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    color: int = 0
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def role_color(role: str, number_of: int) -> int:
    """Return the color index of a role; other roles take the next colors."""
    return ROLE_COLORS.get(role, (len(ROLE_COLORS) + number_of) % len(SERIES))


def style(number_of: int) -> dict[str, Any]:
    """Return color and dashes; the first two colors are distinct to every reader, so their lines are solid."""
    return {"color": SERIES[number_of % len(SERIES)], "linestyle": DASHES[number_of % len(DASHES)]}


def canvas(height: float = HEIGHT, width: float = WIDTH, **margins: float) -> Any:
    """Create a figure and its axes, with size and margins in pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    left, right, top, bottom = (MARGINS | margins).values()
    box = left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height
    axes = figure.add_axes(box)
    axes.tick_params(length=0)
    return figure, axes


def bars(title: str, values: Sequence[tuple[str, float | None, int]], *, width: float = WIDTH) -> Markup:
    """Plot scores as horizontal bars from zero, each with its name above; missing scores are named too."""
    pitch = 38
    figure, axes = canvas(pitch * len(values) + 30, width=width, left=8, right=16, top=4, bottom=26)
    for place, (name, value, color) in enumerate(values):
        axes.barh(-place, value or 0.0, height=0.36, color=SERIES[color])
        at = min(value or 0.0, 0.0)
        label_above(axes, f"{name}\N{EN SPACE}{percent(value)}", at, -place, 0.24)
    present = [value for _, value, _ in values if value is not None]
    axes.set_xlim(min([0.0, *present]), max([1.0, *present]))
    axes.set_ylim(-len(values) + 0.6, 0.75)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_position(("data", 0.0))
    label_ticks(axes.xaxis)
    description = "; ".join(f"{name} {percent(value)}" for name, value, _ in values)
    return to_svg(figure, f"Bars of {title}: {description}.")


def curves(
    title: str,
    lines: Sequence[Line],
    phases: Sequence[Span] = (),
    turns: Sequence[Span] = (),
    mark: tuple[float, float, str] | None = None,
    *,
    in_percent: bool = False,
) -> tuple[Markup, int]:
    """Plot curves over steps, thinned, on shaded phases and turns; `in_percent` for scores.

    Returns:
        The plot, and the number of points averaged in the most thinned line (1: no line is thinned).
    """
    has_names = len(lines) > 1
    figure, axes = canvas(right=84 if has_names else 14, top=12 + 14 * (len(phases) > 1) + 14 * bool(turns))
    _shade(axes, phases, turns)
    ends, group = [], 1
    for line in lines:
        thinned = thin((list(line.steps), list(line.values)))
        group, line_style = max(group, thinned.group), style(line.color)
        low = thin((list(line.steps), list(line.low))).low if line.low else thinned.low
        high = thin((list(line.steps), list(line.high))).high if line.high else thinned.high
        if line.low or thinned.group > 1:
            axes.fill_between(thinned.steps, low, high, color=line_style["color"], alpha=0.2, linewidth=0)
        marker = "o" if len(thinned.steps) < 25 else None
        axes.plot(thinned.steps, thinned.values, marker=marker, markersize=3, **line_style)
        ends.append((float(thinned.values[-1]), line.name, line_style["color"]))
    if mark is not None:
        axes.plot(*mark[:2], marker="o", color=INK, markersize=8, markerfacecolor="none", markeredgecolor=INK)
        axes.annotate(mark[2], mark[:2], (0, -14), textcoords="offset points", ha="right", color=INK)
    axes.set_xlim(0, 1.02 * max(line.steps[-1] for line in lines))
    axes.set_xlabel("step")
    number_axes(axes, whole=True)
    if in_percent:
        label_ticks(axes.yaxis)
    if has_names:
        _name_ends(axes, ends)
    description = "; ".join(_description(line, percent if in_percent else _short) for line in lines)
    return to_svg(figure, f"Curves of {title} by step: {description}."), group


def reliability(models: Sequence[tuple[str, Calibration]]) -> Markup:
    """Plot the share of correct predictions over the mean probability; the area of a mark grows with its rows."""
    figure, axes = canvas(300, top=10 + 14 * len(models), bottom=42)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    shapes = {"teacher": ("s", "■")}
    for place, (name, calibration) in enumerate(models):
        shape, key = shapes.get(name, ("o", "●"))
        x, y = [b.confidence for b in calibration.bins], [b.accuracy for b in calibration.bins]
        total = sum(b.rows for b in calibration.bins)
        line_style = style(ROLE_COLORS[name])
        axes.plot(x, y, linewidth=1, **line_style)
        areas = [12 + 160 * b.rows / total for b in calibration.bins]
        axes.scatter(x, y, areas, marker=shape, color=line_style["color"], alpha=0.75, linewidth=0)
        label = f"{name}, ECE {number(calibration.error)}"
        axes.annotate(key, (0, 1), (0, 4 + 14 * place), color=line_style["color"], **AT_CORNER)
        axes.annotate(label, (0, 1), (14, 4 + 14 * place), **AT_CORNER)
    low = min(min(b.confidence for b in calibration.bins) for _, calibration in models)
    axes.set_xlim(max(0.0, low - 0.05), 1.02)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("mean probability of the predicted class")
    axes.set_ylabel("share of correct predictions")
    description = "; ".join(f"{name}, {plural(len(c.bins), 'bin')}, ECE {number(c.error)}" for name, c in models)
    return to_svg(figure, f"Calibration curve: {description}.")


def scatter(title: str, x: np.ndarray, y: np.ndarray, names: tuple[str, str], color: int, note: str) -> Markup:
    """Plot the scores of one model against those of another, with the line of equality."""
    figure, axes = canvas(280, bottom=42)
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.plot(x, y, linestyle="none", marker="o", markersize=3.4, markeredgewidth=0, color=SERIES[color], alpha=0.4)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    number_axes(axes)
    return to_svg(figure, f"Scatter plot of {title}: {names[1]} over {names[0]}, {note}.")


def label_above(axes: Axes, text: str, x: float | None, y: float, gap: float) -> None:
    """Write the name of a row above it: at its start, or at the left edge."""
    if x is None:
        axes.text(0, y + gap, text, transform=axes.get_yaxis_transform(), va="bottom")
    else:
        axes.text(x, y + gap, text, va="bottom")


def number_axes(axes: Axes, *, y: bool = True, whole: bool = False) -> None:
    """Use few, round tick labels on the axes; `whole` numbers on the x axis."""
    from matplotlib.ticker import MaxNLocator

    for axis in (axes.xaxis, axes.yaxis) if y else (axes.xaxis,):
        axis.set_major_locator(MaxNLocator(5, integer=whole and axis is axes.xaxis))
        label_ticks(axis, 1, "")


def label_ticks(axis: Any, scale: float = 100, unit: str = " %") -> None:
    """Label the ticks of an axis with few digits; by default in percent."""
    axis.set_major_formatter(lambda value, _: f"{_short(scale * value)}{unit}")


def _short(value: float) -> str:
    """Format a number with few digits."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _shade(axes: Axes, phases: Sequence[Span], turns: Sequence[Span]) -> None:
    """Shade every other phase and label it; shade turns in the colors of their roles, with a key above.

    The student's turns stay white, as the background of the others.
    """
    if len(phases) > 1:
        for place, span in enumerate(phases):
            if place % 2 == 0:
                axes.axvspan(span.start, span.end, color=BAND, linewidth=0, zorder=0)
            middle = (span.start + span.end) / 2
            axes.text(middle, 1.01, span.name, transform=axes.get_xaxis_transform(), ha="center", color=MUTED)
    roles = [role for role in dict.fromkeys(span.name for span in turns) if role != "student"]
    for place, role in enumerate(roles):
        x, y, color = 104 * place, 2 + 14 * (len(phases) > 1), SERIES[role_color(role, place)]
        axes.annotate("■", (0, 1), (x, y), color=color, alpha=0.5, **AT_CORNER)
        axes.annotate(f"{role}'s turn", (0, 1), (x + 14, y), color=MUTED, **AT_CORNER)
        for span in turns:
            if span.name == role:
                axes.axvspan(span.start, span.end, color=color, alpha=0.25, linewidth=0, zorder=0.5)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name at its end; names of close ends are moved apart."""
    low, high = axes.get_ylim()
    height = axes.get_position().height * axes.figure.get_figheight() * 72  # pyright: ignore[reportAttributeAccessIssue]
    line = 13 / height * (high - low)
    previous = -np.inf
    for y, name, color in sorted(ends):
        previous = max(y, previous + line)
        axes.text(1.02, previous, name, transform=axes.get_yaxis_transform(), va="center", color=color)


def _description(line: Line, show: Callable[[float], str]) -> str:
    values, steps = line.values, line.steps
    start, end = f"{show(values[0])} at step {steps[0]:g}", f"{show(values[-1])} at step {steps[-1]:g}"
    lowest, highest = (show(f(values)) for f in (min, max))
    return f"{line.name} from {start} to {end}, lowest {lowest}, highest {highest}"
