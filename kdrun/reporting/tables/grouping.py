"""Which runs may be averaged: equal in everything but the seed.

A cell holds runs that differ in their seed and in nothing else that is known of them. Where the runs of one row
and column differ in anything else, they come into rows of their own, and the difference is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

Key = tuple[str, str]
"""Kind of a fact (recorded, word or setting) and its name."""

OF_THE_DATA = {("recorded", name) for name in ("data", "metric", "split")}
"""Facts that every task has its own of: named only in a column where they differ, so that rows line up."""


@dataclass(frozen=True)
class Entry:
    """What is known of one finished run.

    Attributes:
        run: its record.
        recorded: what it wrote down: student, data, code, …; None where it did not.
        words: what it was given on the command line beyond its axes, `optim.epochs` → `3`: names of differences.
        settings: all it was set to: the whole config (of an older run the words of its command), and steps taken.
    """

    run: dict[str, Any]
    recorded: dict[str, str | None]
    words: dict[str, str]
    settings: dict[str, str]

    @property
    def identity(self) -> frozenset[tuple[str, str, str | None]]:
        """Equal for two runs that may be averaged."""
        recorded = (("recorded", *item) for item in self.recorded.items())
        return frozenset((*recorded, *(("setting", *item) for item in self.settings.items())))

    def axis(self, name: str) -> str:
        """The text of an axis of the table."""
        if name == "seed":
            return str(self.run["seed"])
        if name == "settings":
            return " ".join(f"{key}={value}" for key, value in self.words.items()) or "as the preset"
        return self.recorded[name] or "n/a"


@dataclass(frozen=True)
class Cell:
    """Runs that are averaged.

    Attributes:
        row: texts of the row's axes.
        variant: what sets the cell apart from others of the same axes: `optim.epochs=3; code 1a2b3c4d`, or nothing.
        col: texts of the column's axes.
        entries: one a seed, in the order of the seeds; the newest where a seed was run again.
        repeated: the older ones of those seeds, which do not count.
    """

    row: tuple[str, ...]
    variant: str
    col: tuple[str, ...]
    entries: tuple[Entry, ...]
    repeated: tuple[Entry, ...]


def cells(entries: Iterable[Entry], rows: Sequence[str], cols: Sequence[str]) -> list[Cell]:
    """Sort finished runs into cells; each comes into exactly one.

    Args:
        entries: the runs.
        rows: axes of the rows: method, task, student, teacher, preset, seed, settings.
        cols: axes of the columns.

    Returns:
        The cells, in the order in which their rows, variants and columns first appear.
    """
    found: dict[tuple[str, ...], dict[tuple[str, ...], dict[frozenset[Any], list[Entry]]]] = {}
    for entry in entries:
        row, col = (tuple(entry.axis(name) for name in axes) for axes in (rows, cols))
        found.setdefault(row, {}).setdefault(col, {}).setdefault(entry.identity, []).append(entry)
    made = []
    for row, columns in found.items():
        groups = {col: list(parted.values()) for col, parted in columns.items()}
        keys = distinguishing_keys([[_facts(group) for group in parted] for parted in groups.values()])
        for col, parted in groups.items():
            shared = [key for key in keys if key in OF_THE_DATA and len({_facts(g)[key] for g in parted}) == 1]
            for group in parted:
                variant = describe_difference([key for key in keys if key not in shared], _facts(group))
                made.append(Cell(row, variant, col, *_newest(group)))
    return made


def distinguishing_keys(columns: list[list[dict[Key, str | None]]]) -> list[Key]:
    """The facts that name the differences within any column of one row, in the order they are named.

    What was recorded and what was typed are always named where they differ. Of the rest of the settings, which mostly
    follows from these, only what parts runs that these do not.
    """
    found = dict.fromkeys(key for column in columns for facts in column for key in facts if key[0] != "setting")
    said = sorted(found, key=lambda key: key[0] != "word")  # what was typed leads
    keys = [key for key in said if any(len({_meant(key, facts) for facts in column}) > 1 for column in columns)]
    for column in columns:
        for a, b in combinations(column, 2):
            if all(a.get(key) == b.get(key) for key in keys):
                keys += [key for key in {**a, **b} if a.get(key) != b.get(key)]
    return keys


def _meant(key: Key, facts: dict[Key, str | None]) -> str | None:
    """The value behind a name: a word that only says what is set anyhow is no difference."""
    return facts.get(("setting", key[1]), facts.get(key)) if key[0] == "word" else facts.get(key)


def describe_difference(keys: Iterable[Key], facts: dict[Key, str | None]) -> str:
    """A difference in words; a setting that was not given is not named, a fact not recorded is `n/a`."""
    said = []
    for kind, name in keys:
        value = facts.get((kind, name))
        if kind == "recorded":
            said.append(f"{name} {'n/a' if value is None else value}")
        elif value is not None:
            said.append(f"{name}={value}")
    return "; ".join(said)


def _facts(group: list[Entry]) -> dict[Key, str | None]:
    """What all runs of a group have in common; alike in settings, they may have been typed differently."""
    first, typed = group[0], [set(entry.words.items()) for entry in group]
    common = set.intersection(*typed)
    facts: dict[Key, str | None] = {("word", k): value for k, value in first.words.items() if (k, value) in common}
    facts |= {("recorded", name): value for name, value in first.recorded.items()}
    return facts | {("setting", name): value for name, value in first.settings.items()}


def _newest(group: list[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    by_age = sorted(group, key=lambda entry: entry.run["started"])
    newest = {entry.run["seed"]: entry for entry in by_age}
    counted = tuple(newest[seed] for seed in sorted(newest))
    return counted, tuple(entry for entry in by_age if entry is not newest[entry.run["seed"]])
