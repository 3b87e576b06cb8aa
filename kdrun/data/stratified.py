"""Stratified subsets and splits, seeded and nested in their size."""

from __future__ import annotations

import dataclasses

import numpy as np

from kdrun import rng
from kdrun.data.splits import Split

SPLIT_SEED = 0
"""Seed of splits drawn by kdrun; fixed, so that every run of every seed has the same test rows [ours]."""
HELD_OUT_SHARE = 0.1
"""Share of the rows in such a split: a tenth of all rows is test, a tenth of the rest dev (Meta-KD)."""


def stratified_order(strata: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """All rows in a random order whose prefixes have the strata in proportion, up to about one row each.

    Row j of a stratum's n rows, in random order, gets position (j + ½)/n; equal positions are in random order too.

    Args:
        strata: the stratum of each row, [rows].
        stream: draws the order.

    Returns:
        Row numbers, [rows].
    """
    positions = np.empty(len(strata))
    for stratum in np.unique(strata):
        rows = stream.permutation(np.flatnonzero(strata == stratum))
        positions[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    # shuffled, then stably sorted by position, so that ties are not in order of row number
    shuffled = stream.permutation(len(strata))
    return shuffled[np.argsort(positions[shuffled], kind="stable")]


def strata_of(split: Split) -> np.ndarray:
    """The class of each row, within its domain if it has one, as one number, [rows]; all 0 for scores.

    The class of a label set is the rarest of its classes, so that rare classes keep their share too [ours].
    """
    labels, domains = split.labels(), split.domains()
    if labels.ndim == 2:
        classes = rarest_classes(labels)
    else:
        classes = labels.astype(np.int64) if labels.dtype.kind == "i" else np.zeros(split.num_rows, np.int64)
    return classes if domains is None else domains.astype(np.int64) * (int(classes.max(initial=0)) + 1) + classes


def rarest_classes(labels: np.ndarray) -> np.ndarray:
    """One more than the index of the rarest class of each label set, 0 for an empty one, [rows].

    Args:
        labels: 1 for each class of the row, [rows, classes].
    """
    rare_first = np.argsort(labels.sum(axis=0, dtype=np.int64), kind="stable")
    ordered = labels[:, rare_first] != 0
    return np.where(ordered.any(axis=1), rare_first[ordered.argmax(axis=1)] + 1, 0)


def stratified_subset(split: Split, num_rows: int, seed: int, purpose: str, among: np.ndarray | None = None) -> Split:
    """A subset of a split in the original order; strata keep their proportions.

    A smaller subset of the same seed and purpose is contained in a larger one.

    Args:
        split: the rows.
        num_rows: number of rows to draw from `among`.
        seed: of the random choice.
        purpose: name of the random stream.
        among: rows to draw from, [rows] bool; all other rows stay. None is all rows.
    """
    chosen = np.flatnonzero(np.ones(split.num_rows, bool) if among is None else among)
    ordered = stratified_order(strata_of(split)[chosen], rng.numpy_stream(seed, purpose))
    keep = np.ones(split.num_rows, bool)
    keep[chosen[ordered[num_rows:]]] = False
    return split.select(np.flatnonzero(keep))


def stratified_split(split: Split, name: str) -> tuple[Split, Split]:
    """Draw a tenth of a split as a new split, stratified by domain and class.

    Args:
        split: the rows.
        name: of the new split; another name draws other rows.

    Returns:
        The remaining rows under the split's own name, and the drawn rows under `name`; both in original order.
    """
    count = round(HELD_OUT_SHARE * split.num_rows)
    drawn = stratified_order(strata_of(split), rng.numpy_stream(SPLIT_SEED, "split", name))
    rest, sample = np.sort(drawn[count:]), np.sort(drawn[:count])
    return split.select(rest), dataclasses.replace(split.select(sample), name=name, notes=())
