"""Group runs that differ only in the seed, to be averaged.

The runs of a cell differ only in their seed, as far as recorded. Runs of the same row and column that differ in
anything else go into separate rows, and the difference is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from kdrun.formatting import NOT_MEASURED
from kdrun.storage.ledger import FinishedRecord

Key = tuple[str, str]
"""Type of a fact (recorded, override or setting) and its name."""

STUDENT: Key = ("recorded", "student")
MAX_VALUE = 24
"""Characters of a value; keys with longer values name a difference only if no other key does."""
DATA_KEYS = {("recorded", name) for name in ("data", "metric", "split")}
"""Facts that differ between tasks: named only in columns where they differ, so that rows align."""


@dataclass(frozen=True)
class Entry:
    """Facts about one finished run.

    Attributes:
        run: ledger record of the run.
        recorded: recorded facts: student, data, code, …; None if not recorded.
        overrides: overrides other than the axes, `optim.epochs` → `3`; they name differences between runs.
        settings: the whole config (of older runs the overrides), and the steps taken.
    """

    run: FinishedRecord
    recorded: dict[str, str | None]
    overrides: dict[str, str]
    settings: dict[str, str]

    @property
    def identity(self) -> frozenset[tuple[str, str, str | None]]:
        """Equal for two runs that may be averaged."""
        recorded = (("recorded", *item) for item in self.recorded.items())
        return frozenset((*recorded, *(("setting", *item) for item in self.settings.items())))

    def axis(self, name: str) -> str:
        """Return the text of an axis of the table."""
        if name == "seed":
            return str(self.run["seed"])
        if name == "settings":
            return " ".join(f"{key}={value}" for key, value in self.overrides.items()) or "preset defaults"
        return self.recorded[name] or NOT_MEASURED


@dataclass(frozen=True)
class Cell:
    """Runs that are averaged.

    Attributes:
        row: texts of the row's axes.
        variant: the fewest facts that tell the cell from other cells of the same axes, `optim.epochs=3`, or empty.
        difference: every fact in which it differs from them: `optim.epochs=3; code 1a2b3c4d`.
        unnamed: names of the facts in the difference that the variant leaves out.
        col: texts of the column's axes.
        entries: one run per seed, sorted by seed; the newest if a seed was run several times.
        repeated: older runs of these seeds, which are not used.
    """

    row: tuple[str, ...]
    variant: str
    difference: str
    unnamed: tuple[str, ...]
    col: tuple[str, ...]
    entries: tuple[Entry, ...]
    repeated: tuple[Entry, ...]


def group_into_cells(entries: Iterable[Entry], rows: Sequence[str], cols: Sequence[str]) -> list[Cell]:
    """Sort finished runs into cells, each into exactly one.

    Args:
        entries: the runs.
        rows: axes of the rows: method, task, student, teacher, preset, seed, settings.
        cols: axes of the columns.

    Returns:
        The cells, in order of first appearance of their rows, variants and columns.
    """
    by_row: dict[tuple[str, ...], dict[tuple[str, ...], dict[frozenset[Any], list[Entry]]]] = {}
    for entry in entries:
        row, col = (tuple(entry.axis(name) for name in axes) for axes in (rows, cols))
        by_row.setdefault(row, {}).setdefault(col, {}).setdefault(entry.identity, []).append(entry)
    cells = []
    for row, columns in by_row.items():
        groups_by_column = {col: list(groups.values()) for col, groups in columns.items()}
        facts_by_column = [[_facts(group) for group in groups] for groups in groups_by_column.values()]
        keys = distinguishing_keys(facts_by_column)
        label_keys = fewest_keys(facts_by_column)
        for col, groups in groups_by_column.items():
            shared = [key for key in keys if key in DATA_KEYS and len({_facts(group)[key] for group in groups}) == 1]
            for group in groups:
                variant, difference = (
                    describe_difference([key for key in some_keys if key not in shared], _facts(group))
                    for some_keys in (label_keys, keys)
                )
                unnamed = tuple(name for key in keys for name in [key[1]] if key not in (*label_keys, *shared))
                cells.append(Cell(row, variant, difference, unnamed, col, *_newest(group)))
    return cells


def distinguishing_keys(columns: list[list[dict[Key, str | None]]]) -> list[Key]:
    """Return the facts that name the differences within any column of one row, in the order they are named.

    Recorded facts and overrides are always named where they differ. Other settings mostly follow from these; they are
    named only where they separate runs that have equal facts and overrides.
    """
    candidates = dict.fromkeys(key for column in columns for facts in column for key in facts if key[0] != "setting")
    ordered = sorted(candidates, key=lambda key: key[0] != "override")  # overrides first
    keys = [
        key for key in ordered if any(len({_effective_value(key, facts) for facts in column}) > 1 for column in columns)
    ]
    for column in columns:
        for a, b in combinations(column, 2):
            if all(a.get(key) == b.get(key) for key in keys):
                keys += [key for key in {**a, **b} if a.get(key) != b.get(key)]
    return keys


def fewest_keys(columns: list[list[dict[Key, str | None]]]) -> list[Key]:
    """Return few facts that tell those of each column apart, in the order they are named.

    The student's name comes first, then overrides, other recorded facts and settings; long values come last.
    """

    def num_groups(chosen: list[Key]) -> int:
        return sum(len({describe_difference(chosen, facts) for facts in column}) for column in columns)

    def rank(key: Key) -> tuple[bool, ...]:
        longest = max(len(facts.get(key) or "") for column in columns for facts in column)
        return key != STUDENT, longest > MAX_VALUE, key in DATA_KEYS, key[0] != "override", key[0] != "recorded"

    candidates = dict.fromkeys(key for column in columns for facts in column for key in facts)
    differing = [
        key
        for key in candidates
        if any(len({_effective_value(key, facts) for facts in column}) > 1 for column in columns)
    ]
    total, chosen = sum(map(len, columns)), list[Key]()
    for key in sorted(differing, key=rank):
        if num_groups(chosen) < total and num_groups([*chosen, key]) > num_groups(chosen):
            chosen.append(key)
    for key in reversed(chosen[1:]):
        others = [other for other in chosen if other != key]
        if num_groups(others) == num_groups(chosen):
            chosen = others
    return chosen


def _effective_value(key: Key, facts: dict[Key, str | None]) -> str | None:
    """Return the value behind a name: an override that repeats the value in effect is no difference."""
    return facts.get(("setting", key[1]), facts.get(key)) if key[0] == "override" else facts.get(key)


def describe_difference(keys: Iterable[Key], facts: dict[Key, str | None]) -> str:
    """Describe a difference; settings that were not overridden are omitted, unrecorded facts are `n/a`."""
    parts = []
    for source, name in keys:
        value = facts.get((source, name))
        if source == "recorded":
            parts.append(f"{name} {NOT_MEASURED if value is None else value}")
        elif value is not None:
            parts.append(f"{name}={value}")
    return "; ".join(parts)


def _facts(group: list[Entry]) -> dict[Key, str | None]:
    """Return the facts that all runs of a group share; equal settings may have been overridden differently."""
    first, overrides = group[0], [set(entry.overrides.items()) for entry in group]
    common = set.intersection(*overrides)
    facts: dict[Key, str | None] = {
        ("override", k): value for k, value in first.overrides.items() if (k, value) in common
    }
    facts |= {("recorded", name): value for name, value in first.recorded.items()}
    return facts | {("setting", name): value for name, value in first.settings.items()}


def _newest(group: list[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    by_age = sorted(group, key=lambda entry: entry.run["started"])
    newest = {entry.run["seed"]: entry for entry in by_age}
    used = tuple(newest[seed] for seed in sorted(newest))
    return used, tuple(entry for entry in by_age if entry is not newest[entry.run["seed"]])
