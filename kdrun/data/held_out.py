"""Hold groups of training rows out of everything.

Rows of a single text: a text that is a phrase of a longer row belongs to the group of the shortest such row, the first
of equals in the file; a row that is no phrase of another is the sentence of its group. A phrase that also occurs in a
row of another group is not held out. Pairs: rows that share a text, in either column, are one group.

Whole groups are drawn in a random order, stratified by the domain and class of their first row, until they have enough
rows; their other phrases, and all training rows that are phrases of a held-out row, are left out. So no held-out row
is, contains or is part of a training row, up to `phrases.MAX_WORDS` words. [ours]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from kdrun import rng
from kdrun.config.task import HELD_OUT
from kdrun.data.phrases import DistinctTexts
from kdrun.data.splits import TEXT_COLUMNS, Split, content_hash
from kdrun.data.stratified import strata_of, stratified_order
from kdrun.errors import DataError
from kdrun.formatting import plural
from kdrun.storage import cache

FORMAT = 1
"""Version of the rules in this module; part of the cache key."""
GROUP = "group"
"""Column of the group of each held-out row."""
LARGEST_GROUP, LARGEST_SHARE = 10, 0.01
"""A group of more rows, and of a larger share of all rows, stays in the training rows: it would be most of the few."""
CACHED_ROWS = 20_000
"""Rows from which the draw is kept in the cache."""
TRAINING, HELD, LEFT_OUT = 0, 1, 2
"""Uses of a row."""


@dataclass(frozen=True)
class HeldOutRows:
    """The training rows of a task without its held-out rows.

    Attributes:
        train: the remaining rows.
        split: the held-out rows, with a column `group`.
        note: how they were drawn, for readers of a result.
    """

    train: Split
    split: Split
    note: str


@dataclass(frozen=True)
class Groups:
    """Groups of rows.

    Attributes:
        numbers: group of each row, [rows].
        shared: whether a row also is a part of a row of another group, [rows].
        texts: the different texts of a split of single texts; None for pairs.
    """

    numbers: np.ndarray
    shared: np.ndarray
    texts: DistinctTexts | None = None


def hold_out(
    train: Split, evaluated: Sequence[Split], count: int, seed: int, key: str = "evaluation.held_out"
) -> HeldOutRows:
    """Draw held-out rows from the training rows; a larger count contains the groups of a smaller one.

    Args:
        train: all training rows.
        evaluated: other rows to evaluate; groups with a row of these splits stay in the training rows.
        count: held-out rows, as few more as whole groups allow.
        seed: of the random choice.
        key: config key of the number, for messages.

    Raises:
        DataError: there are too few rows for this count.
    """
    uses, groups = _cached_draw(train, evaluated, count, seed, key)
    held, rest = np.flatnonzero(uses == HELD), np.flatnonzero(uses == TRAINING)
    _, group_ids = np.unique(groups[held], return_inverse=True)
    left_out = int((uses == LEFT_OUT).sum())
    table = train.select(held).table.append_column(GROUP, pa.array(group_ids.reshape(-1).astype(np.int32)))
    split = dataclasses.replace(
        train, name=HELD_OUT, table=table, fingerprint=content_hash(table), notes=(), row_numbers=held
    )
    note = f"{describe(split)}: nothing is trained on them ({key}={count}, held_out_seed={seed})"
    if left_out:
        note += f"; {plural(left_out, 'row')} left out, which would be phrases on both sides"
    return HeldOutRows(train.select(rest), split, note)


def describe(split: Split, alone: int = 0, name: str = "") -> str:
    """The rows of a split with held-out rows, for people: `872 dev rows and 2504 held-out training rows, of …`.

    Args:
        split: rows with a column `group`.
        alone: number of rows at the beginning that are rows of another split.
        name: name of that split.
    """
    groups = len(np.unique(split.table.column(GROUP).to_numpy()[alone:]))
    noun = "group" if split.is_pair else "sentence"
    ending = " of pairs that share a text" if split.is_pair else ""
    rows = f"{plural(split.num_rows - alone, 'held-out training row')}, of {plural(groups, noun)}{ending}"
    return f"{plural(alone, f'{name} row')} and {rows}" if alone else rows


def describe_unlabeled(split: Split) -> str:
    """The rows of `without_labels`, for people: `20004 unlabeled training rows, of 2051 sentences`."""
    groups = len(np.unique(split.table.column(GROUP).to_numpy()))
    of_groups = plural(groups, "group" if split.is_pair else "sentence")
    ending = " of pairs that share a text" if split.is_pair else ""
    return f"{plural(split.num_rows, 'unlabeled training row')}, of {of_groups}{ending}"


def without_labels(split: Split, name: str) -> Split:
    """Held-out rows under another name, with their texts and groups only."""
    table = split.table.select([*(column for column in split.table.column_names if column in TEXT_COLUMNS), GROUP])
    return dataclasses.replace(split, name=name, table=table, fingerprint=content_hash(table), row_numbers=None)


def pool(split: Split, held_out: Split, name: str) -> Split:
    """The rows of a labeled split, each a group, and then the held-out rows, as one split."""
    names = [column for column in held_out.table.column_names if column != GROUP]
    alone = split.table.select(names).append_column(GROUP, pa.array(np.arange(split.num_rows, dtype=np.int32)))
    others = held_out.table.column(GROUP).to_numpy() + np.int32(split.num_rows)
    grouped = held_out.table.select(names).append_column(GROUP, pa.array(others))
    table = pa.concat_tables([alone, grouped])
    origin = f"{split.origin} and {held_out.origin}"
    return dataclasses.replace(
        split, name=name, table=table, origin=origin, fingerprint=content_hash(table), notes=(), row_numbers=None
    )


def without_shared_text(rows: Split, held_out: Split) -> Split:
    """The rows that are no held-out row and share no phrase with one, with a note on the others.

    Args:
        rows: unlabeled rows.
        held_out: rows of the same text columns.
    """
    is_shared = np.zeros(rows.num_rows, bool)
    for texts in _texts_of_both(rows, held_out):
        is_held = np.zeros(len(texts.first), bool)
        is_held[texts.numbers[rows.num_rows :]] = True
        bad = is_held.copy()
        for phrases, sentences in () if rows.is_pair else texts.contained():
            bad[phrases[is_held[sentences]]] = True
            bad[sentences[is_held[phrases]]] = True
        is_shared |= bad[texts.numbers[: rows.num_rows]]
    if not is_shared.any():
        return rows
    note = f"{int(is_shared.sum())} of {rows.num_rows} unlabeled rows left out: they share text with a held-out row"
    kept = rows.select(np.flatnonzero(~is_shared))
    return dataclasses.replace(kept, notes=(*rows.notes, note))


def _texts_of_both(rows: Split, held_out: Split) -> Iterator[DistinctTexts]:
    """For each text column of some rows, its texts and then the texts of all columns of the held-out rows."""
    names = [name for name in rows.table.column_names if name in TEXT_COLUMNS]
    for name in names:
        chunks = [
            chunk for part in [rows.table.column(name), *map(held_out.table.column, names)] for chunk in part.chunks
        ]
        both = pa.table({"text": pa.chunked_array(chunks, pa.string())})
        yield DistinctTexts.of_split(dataclasses.replace(rows, table=both))


def find_groups(split: Split) -> Groups:
    """The groups of a split's rows."""
    return _groups_of_pairs(split) if split.is_pair else _groups_of_phrases(split)


def _groups_of_pairs(split: Split) -> Groups:
    """Connected rows: an edge from each row to each of its texts."""
    columns = [split.table.column(name) for name in TEXT_COLUMNS]
    both = dataclasses.replace(
        split, table=pa.table({"text": pa.chunked_array([*columns[0].chunks, *columns[1].chunks])})
    )
    rows, texts = split.num_rows, DistinctTexts.of_split(both).numbers
    edges = np.tile(np.arange(rows), 2), rows + texts
    size = rows + int(texts.max(initial=-1)) + 1
    from scipy import sparse  # takes half a second
    from scipy.sparse import csgraph

    graph = sparse.coo_matrix((np.ones(2 * rows, np.int8), edges), shape=(size, size))
    _, numbers = csgraph.connected_components(graph, directed=False)
    return Groups(numbers[:rows], np.zeros(rows, bool))


def _groups_of_phrases(split: Split) -> Groups:
    """Each text with the shortest longer text that contains it, up to the sentence."""
    texts = DistinctTexts.of_split(split)
    count = len(texts.first)
    longest = np.iinfo(np.int64).max
    keys = texts.sizes << 40 | texts.first  # the shortest first, then the order of the file
    best = np.full(count, longest)
    for phrases, sentences in texts.contained():
        np.minimum.at(best, phrases, keys[sentences])
    parents = texts.numbers[np.where(best == longest, texts.first, best & ((1 << 40) - 1))]
    while not np.array_equal(parents, parents[parents]):
        parents = parents[parents]
    shared = np.zeros(count, bool)
    for phrases, sentences in texts.contained():
        shared[phrases[parents[phrases] != parents[sentences]]] = True
    return Groups(parents[texts.numbers], shared[texts.numbers], texts)


def _draw(train: Split, evaluated: Sequence[Split], count: int, seed: int, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The use of each row, [rows] int8, and its group, [rows]."""
    groups = find_groups(train)
    names, first, numbers = np.unique(groups.numbers, return_index=True, return_inverse=True)
    numbers = numbers.reshape(-1)
    sizes, usable = np.bincount(numbers), np.bincount(numbers, ~groups.shared).astype(np.int64)
    is_candidate = (sizes <= max(LARGEST_GROUP, LARGEST_SHARE * train.num_rows)) & (usable > 0)
    is_candidate[numbers[_rows_in(train, groups, evaluated)]] = False
    candidates = np.flatnonzero(is_candidate)
    order = stratified_order(strata_of(train)[first[candidates]], rng.numpy_stream(seed, "held out"))
    drawn = candidates[order]
    total = np.cumsum(usable[drawn])
    number = int(np.searchsorted(total, count)) + 1
    uses = np.full(train.num_rows, TRAINING, np.int8)
    if number <= len(drawn):
        in_drawn = np.isin(numbers, drawn[:number])
        if groups.texts is not None:
            sentences = np.unique(names[drawn[:number]])
            for phrases, _ in groups.texts.contained(sentences):
                uses[np.isin(groups.texts.numbers, phrases)] = LEFT_OUT
        uses[in_drawn] = np.where(groups.shared[in_drawn], LEFT_OUT, HELD)
    if number > len(drawn) or not (uses == TRAINING).any():
        raise DataError(
            f"{key}={count}: {train.origin} has {plural(train.num_rows, 'row')}, of which at most "
            f"{int(total[-1]) if len(total) else 0} can be held out in whole groups (rows that share text); set a "
            "smaller number"
        )
    return uses, groups.numbers


def _rows_in(train: Split, groups: Groups, evaluated: Sequence[Split]) -> np.ndarray:
    """Training rows whose text is a text of a labeled split, [rows] of row numbers."""
    columns = [groups.texts] if groups.texts is not None else [DistinctTexts.of_split(train, n) for n in TEXT_COLUMNS]
    width, is_known = len(columns[-1].first), np.zeros(train.num_rows, bool)
    own = sum(column.numbers * width**i for i, column in enumerate(reversed(columns)))
    for split in evaluated:
        numbers = [column.numbers_of(split) for column in columns]
        others = sum(part * width**i for i, part in enumerate(reversed(numbers)))
        is_known |= np.isin(own, np.asarray(others)[np.min(numbers, axis=0) >= 0])
    return np.flatnonzero(is_known)


def _cached_draw(
    train: Split, evaluated: Sequence[Split], count: int, seed: int, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """The draw, from the cache if the rows are many."""
    if train.num_rows < CACHED_ROWS:
        return _draw(train, evaluated, count, seed, key)
    others = [split.fingerprint for split in evaluated]
    cache_key = {"format": FORMAT, "train": train.fingerprint, "evaluated": others, "count": count, "seed": seed}

    def build(folder: Path) -> None:
        uses, groups = _draw(train, evaluated, count, seed, key)
        np.save(folder / "uses.npy", uses)
        np.save(folder / "groups.npy", groups)

    def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        return np.load(folder / "uses.npy"), np.load(folder / "groups.npy")

    return cache.fetch("held_out", cache_key, build, read)[0]
