"""Ranges of config keys that a search draws values from.

This module imports without torch and without Optuna.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kdrun.experiments.tune.grammar import RangeText

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
WHOLE = re.compile(r"[+-]?\d+")
DIGITS = 4
"""Significant digits of a drawn number: a config and its id hold the rounded number."""


class Trial(Protocol):
    """The part of Optuna's trial that draws values."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Draw a number from a range."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Draw a whole number from a range, ends included."""
        ...

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Draw one of several values."""
        ...


@dataclass(frozen=True)
class FloatRange:
    """Numbers from `low` to `high`; with `log`, each factor is as likely as another."""

    low: float
    high: float
    log: bool = False

    @property
    def ends(self) -> tuple[str, ...]:
        """Values that must be valid for all of them to be."""
        return repr(self.low), repr(self.high)

    def suggest(self, trial: Trial, key: str) -> str:
        """Draw a value, as the text of an override."""
        value = trial.suggest_float(key, self.low, self.high, log=self.log)
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))


@dataclass(frozen=True)
class IntRange:
    """Whole numbers from `low` to `high`, ends included; with `log`, each factor is as likely as another."""

    low: int
    high: int
    log: bool = False

    @property
    def ends(self) -> tuple[str, ...]:
        """Values that must be valid for all of them to be."""
        return str(self.low), str(self.high)

    def suggest(self, trial: Trial, key: str) -> str:
        """Draw a value, as the text of an override."""
        return str(trial.suggest_int(key, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Choice:
    """Some values, as overrides have them."""

    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, ...]:
        """Values that must be valid for all of them to be."""
        return self.values

    def suggest(self, trial: Trial, key: str) -> str:
        """Draw a value, as the text of an override."""
        return str(trial.suggest_categorical(key, self.values))


Range = FloatRange | IntRange | Choice


@dataclass(frozen=True)
class Space:
    """The keys of a search and their ranges.

    Attributes:
        ranges: by key, in order.
        texts: the ranges as written, by key.
        defaults: values of the runs without the search, by key.
    """

    ranges: Mapping[str, Range]
    texts: Mapping[str, str]
    defaults: Mapping[str, str] = field(default_factory=dict)

    def suggest(self, trial: Trial) -> list[str]:
        """Draw a value of every key; returns the overrides."""
        return [f"{key}={key_range.suggest(trial, key)}" for key, key_range in self.ranges.items()]


def interpret(text: RangeText, setting_type: type | None) -> Range:
    """The range that a text means for a setting.

    Two numbers are the ends of a range; of whole numbers if the setting counts. Other lists are values to choose from.

    Args:
        text: form and values.
        setting_type: int or float for a setting of numbers; None for one of unknown type.

    Raises:
        ValueError: the text has no meaning for the setting.
    """
    items, form = text.items, text.form
    numeric = [NUMBER.fullmatch(item) is not None for item in items]
    if len(items) < 2:
        raise ValueError("a range needs two ends or several values; a single value is an override, KEY=VALUE")
    if form == "choice" or (not form and (len(items) > 2 or not all(numeric))):
        if len(set(items)) < len(items):
            raise ValueError("a value is listed twice")
        return Choice(items)
    if len(items) != 2 or not all(numeric):
        raise ValueError(f"{form}[…] takes two numbers, the lowest and the highest")
    low, high = map(float, items)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the first number must be below the second, got {items[0]} and {items[1]}")
    if form == "log" and low <= 0:
        raise ValueError(f"log[…] needs numbers above 0, got {items[0]}")
    whole = all(WHOLE.fullmatch(item) for item in items)
    counts = form == "int" or setting_type is int or (setting_type is None and whole)
    if counts and not whole:
        raise ValueError(f"the setting has whole numbers, got {' and '.join(items)}")
    if counts:
        return IntRange(int(items[0]), int(items[1]), form == "log")
    return FloatRange(low, high, form == "log")
