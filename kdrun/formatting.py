"""Format numbers, percentages, durations and counts for people."""

from __future__ import annotations

import re
from collections.abc import Sequence

NOT_MEASURED = "n/a"
"""Shown in place of a value that is undefined or was not measured."""
SYNTHETIC_NOTE = "synthetic, made by a grammar; no number here is a GLUE score"
"""Shown with every result on embedded data."""
MINUS_SIGN = "\N{MINUS SIGN}"
GIB, MIB = 2**30, 2**20

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that steer a terminal, reorder a line or have no encoding: C0 and C1 controls without tab and line feed,
marks of writing direction, separators of lines, and halves of surrogate pairs."""


def escape_control(text: str) -> str:
    """Show control characters of foreign text as their escapes, as in `\\x1b`, so that they have no effect."""
    return CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""Beginnings of a cell that spreadsheets evaluate."""
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def guard_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would evaluate; numbers stay as they are."""
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def number(value: float | None, digits: int = 4) -> str:
    """Format a number with fixed decimals: 0.8123."""
    return NOT_MEASURED if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4, *, minus: str = MINUS_SIGN) -> str:
    """Format a number with its sign: +0.0123."""
    return NOT_MEASURED if value is None else f"{value:+.{digits}f}".replace("-", minus)


def percent(value: float | None, digits: int = 1, *, unit: str = " %") -> str:
    """Format a score or a share in percent: 88.1 %."""
    return NOT_MEASURED if value is None else f"{100 * value:.{digits}f}{unit}"


def points(value: float | None, digits: int = 1, *, minus: str = MINUS_SIGN) -> str:
    """Format a difference of scores in percentage points: +1.2."""
    return NOT_MEASURED if value is None else signed(100 * value, digits, minus=minus)


def percent_sd(mean: float | None, sd: float | None, digits: int = 1) -> str:
    """Format the mean and the standard deviation of scores in percent: 88.1 ± 0.4 %."""
    return NOT_MEASURED if mean is None else f"{mean_sd(mean, sd, digits, scale=100)} %"


def mean_sd(mean: float | None, sd: float | None, digits: int = 4, *, scale: float = 1) -> str:
    """Format a mean and its standard deviation, each times `scale`: 0.8123 ± 0.0045; one value has no deviation."""
    if mean is None:
        return NOT_MEASURED
    return number(scale * mean, digits) + (f" ± {number(scale * sd, digits)}" if sd is not None else "")


def count(value: float | None) -> str:
    """Format a whole number with its thousands separated: 8 551."""
    return NOT_MEASURED if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def param_count(value: int | None) -> str:
    """Format a parameter count: 22.7 M, 153 k."""
    if value is None:
        return NOT_MEASURED
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def num_bytes(value: float) -> str:
    """Format a number of bytes: 12 MiB, 1.5 GiB."""
    return f"{value / GIB:.1f} GiB" if value >= GIB else f"{max(1, round(value / MIB))} MiB"


SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(I)?B)?", re.IGNORECASE)


def parse_bytes(text: str) -> int | None:
    """The number of bytes that a text such as `20GB`, `1.5 GiB` or `4096` names; None if it names none."""
    match = SIZE.fullmatch(text.strip())
    if match is None:
        return None
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** (" KMGT".index((match[2] or " ").upper())))


def duration(seconds: float | None) -> str:
    """Format a time: 0.4 s, 91 s, 12 min 5 s, 3 h 20 min."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, rest_minutes = divmod(minutes, 60)
    return f"{hours} h {rest_minutes} min" if hours else f"{minutes} min {rest} s"


def plural(number_of: int, noun: str) -> str:
    """Format a count with its noun: 1 seed, 2 seeds."""
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"


def with_reason(text: str, reason: str | None) -> str:
    """Add the reason to a value that is `n/a`; return any other value unchanged."""
    return f"{text} ({reason})" if text == NOT_MEASURED and reason else text


def named_rows(split: str, rows: str | None) -> str:
    """Format the name of a split, with a description of its rows if it has one: held_out (2504 held-out rows)."""
    return f"{split} ({rows})" if rows else split


def join_words(words: Sequence[str]) -> str:
    """Join words into a phrase: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def first_line(text: str | None) -> str:
    """The first line of an error message; n/a if none was recorded."""
    return text.split("\n", 1)[0] if text else f"{NOT_MEASURED}: no error was recorded"


def shorten(text: str, most: int = 600) -> str:
    """Cut a text to a length and append the number of characters left out."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most} more characters)"
