"""Format numbers, percentages, durations and counts for people."""

from __future__ import annotations

from collections.abc import Sequence

NOT_MEASURED = "n/a"


def number(value: float | None, digits: int = 4) -> str:
    """A score: 0.8123."""
    return NOT_MEASURED if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """A difference: +0.0123."""
    return NOT_MEASURED if value is None else f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float | None) -> str:
    """A share: 88.1 %."""
    return NOT_MEASURED if value is None else f"{100 * value:.1f} %"


def count(value: float | None) -> str:
    """A whole number with its thousands apart: 8 551."""
    return NOT_MEASURED if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def param_count(value: int | None) -> str:
    """A parameter count: 22.7 M, 153 k."""
    if value is None:
        return NOT_MEASURED
    return f"{value / 1e6:.1f} M" if value >= 1e6 else f"{value / 1e3:.0f} k"


def duration(seconds: float | None) -> str:
    """A time: 0.4 s, 91 s, 12 min 5 s, 3 h 20 min."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def with_reason(text: str, reason: str | None) -> str:
    """A value that is `n/a`, with the reason; any other as it is."""
    return f"{text} ({reason})" if text == NOT_MEASURED and reason else text


def join_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def shorten(text: str, most: int = 600) -> str:
    """A text cut to a length, with the number of characters left out."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most} more characters)"


def console_number(value: float | None, digits: int = 4) -> str:
    """A score for a table; `n/a` for one that is undefined or was not measured."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def console_millions(count: int) -> str:
    """A parameter count, readable: 22.7 M, 153 k."""
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"


def plural(number_of: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number_of} {noun}{'' if number_of == 1 else 's'}"
