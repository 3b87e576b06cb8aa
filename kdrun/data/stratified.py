"""Stratified subsets and splits, seeded and nested in their size."""

from __future__ import annotations

import dataclasses

import numpy as np

from kdrun import rng
from kdrun.data.splits import Split

SPLIT_SEED = 0
"""Of splits that kdrun draws itself; fixed, so that every run of every seed has the same test rows [ours]."""
HELD_OUT = 0.1
"""Share of the rows that such a split takes: a tenth of all is test, a tenth of the rest dev (Meta-KD)."""


def stratified_order(strata: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """All rows in a random order every beginning of which has the strata in proportion, to a row or so each.

    Row j of a stratum's n, in random order, stands at (j + ½)/n of the way; equal places are in random order too.

    Args:
        strata: the stratum of each row, [rows].
        stream: draws the order.

    Returns:
        Row numbers, [rows].
    """
    places = np.empty(len(strata))
    for stratum in np.unique(strata):
        rows = stream.permutation(np.flatnonzero(strata == stratum))
        places[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    # random first, then stable by place, so that ties do not go by row number
    shuffled = stream.permutation(len(strata))
    return shuffled[np.argsort(places[shuffled], kind="stable")]


def strata_of(split: Split) -> np.ndarray:
    """The class of each row, within its domain where it has one, as one number, [rows]; all 0 for scores."""
    labels, domains = split.labels(), split.domains()
    classes = labels.astype(np.int64) if labels.dtype.kind == "i" else np.zeros(split.num_rows, np.int64)
    return classes if domains is None else domains.astype(np.int64) * (int(classes.max(initial=0)) + 1) + classes


def stratified_subset(split: Split, num_rows: int, seed: int, purpose: str, among: np.ndarray | None = None) -> Split:
    """The split with only so many of its rows, or of some of them, in their order; strata keep their proportions.

    A smaller share of the same seed and purpose is part of a larger one.

    Args:
        split: the rows.
        num_rows: how many are kept.
        seed: of the choice.
        purpose: names the stream.
        among: which rows are thinned out, [rows] of bool; the others stay. None is all.
    """
    chosen = np.flatnonzero(np.ones(split.num_rows, bool) if among is None else among)
    ordered = stratified_order(strata_of(split)[chosen], rng.numpy_stream(seed, purpose))
    keep = np.ones(split.num_rows, bool)
    keep[chosen[ordered[num_rows:]]] = False
    return split.select(np.flatnonzero(keep))


def stratified_split(split: Split, name: str) -> tuple[Split, Split]:
    """What remains of a split and the tenth of it that becomes another one, by domain and class.

    Args:
        split: the rows.
        name: of the other split; another name draws other rows.

    Returns:
        The rest under the split's own name, and the drawn rows under `name`; both keep their order.
    """
    count = round(HELD_OUT * split.num_rows)
    drawn = stratified_order(strata_of(split), rng.numpy_stream(SPLIT_SEED, "split", name))
    rest, taken = np.sort(drawn[count:]), np.sort(drawn[:count])
    return split.select(rest), dataclasses.replace(split.select(taken), name=name, notes=())
