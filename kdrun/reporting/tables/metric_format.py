"""Formats of scores and differences by metric."""

from __future__ import annotations

import math
from collections.abc import Iterable

from kdrun.formatting import MINUS_SIGN, NOT_MEASURED, mean_sd, percent, percent_sd, points, signed
from kdrun.reporting.tables.render import csv_number, csv_percent

LOWER_IS_BETTER = frozenset({"teacher_kl"})
"""Metrics of a comparison for which an arm with a smaller value is better. They are in nats, all others are shares."""
NAT_DIGITS = 3
"""Further decimals of a value in nats, which is no percentage."""


def is_lower_better(metric: str) -> bool:
    """Return whether an arm with a smaller value is better."""
    return metric in LOWER_IS_BETTER


def score(metric: str, value: float | None, digits: int = 1, *, unit: bool = True) -> str:
    """Format a score: `88.1 %`, or `0.0312 nats`; without the unit in tables whose heading names it."""
    if metric not in LOWER_IS_BETTER:
        return percent(value, digits, unit=" %" if unit else "")
    return NOT_MEASURED if value is None else f"{value:.{_nat_digits(value, digits)}f}{' nats' if unit else ''}"


def score_sd(metric: str, mean: float | None, sd: float | None, digits: int = 1, *, unit: bool = True) -> str:
    """Format the mean and the standard deviation of scores."""
    if metric in LOWER_IS_BETTER:
        text = mean_sd(mean, sd, _nat_digits(mean, digits))
        return text if mean is None or not unit else f"{text} nats"
    return percent_sd(mean, sd, digits) if unit else mean_sd(mean, sd, digits, scale=100)


def difference(metric: str, value: float | None, digits: int = 1, *, minus: str = MINUS_SIGN) -> str:
    """Format a difference of scores in the unit of `difference_unit`: `+1.2`."""
    if metric in LOWER_IS_BETTER:
        return signed(value, _nat_digits(value, digits), minus=minus)
    return points(value, digits, minus=minus)


def _nat_digits(value: float | None, digits: int) -> int:
    """Return the decimals of a value in nats: enough for two digits of a small one."""
    least = digits + NAT_DIGITS
    return max(least, 1 - math.floor(math.log10(abs(value)))) if value and math.isfinite(value) else least


def difference_unit(metric: str) -> str:
    """Return the unit of differences: points or nats."""
    return "nats" if metric in LOWER_IS_BETTER else "points"


def margin(metric: str, value: float) -> str:
    """Format the margin of a tie: `± 1 points`."""
    scale = 1 if metric in LOWER_IS_BETTER else 100
    return f"± {scale * value:g} {difference_unit(metric)}"


def csv_score(metric: str, value: float | None) -> float | str:
    """Return a score for the CSV: in percent, or in nats."""
    return csv_number(value) if metric in LOWER_IS_BETTER else csv_percent(value)


def unit_notes(metrics: Iterable[str]) -> list[str]:
    """Return a sentence on each metric that is no share."""
    return [
        f"{metric}: mean KL(teacher ‖ student) over rows, in nats; lower is better."
        for metric in dict.fromkeys(metrics)
        if metric in LOWER_IS_BETTER
    ]
