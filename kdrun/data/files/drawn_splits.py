"""Draw dev and test rows from the training rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from kdrun import rng
from kdrun.data.splits import Split, distinct_texts
from kdrun.data.stratified import strata_of, stratified_order
from kdrun.errors import DataError
from kdrun.formatting import percent, plural

MIN_ROWS = 2
"""Fewest rows of a drawn split: one row has no score worth reading."""


def draw_splits(train: Split, fractions: Mapping[str, float], seed: int) -> dict[str, Split]:
    """Draw splits from the training rows, stratified by class, each as a share of the different texts.

    A drawn split has each of its texts once. All other rows with these texts leave the training rows.

    Args:
        train: all rows.
        fractions: name of each split to draw → its share.
        seed: of the random choice; the name of a split is part of the stream.

    Returns:
        `train` with the remaining rows, and the drawn splits, in the original order.

    Raises:
        DataError: a split would have fewer than two rows, or the training rows none.
    """
    codes, first = distinct_texts(train)
    first = np.sort(first)
    strata, free, rows = strata_of(train), first, {}
    for name, fraction in fractions.items():
        count = round(fraction * len(first))
        if count < MIN_ROWS or count >= len(free):
            raise DataError(
                f"data.{name}={fraction:g} of {plural(len(first), 'different text')} of {train.origin} is "
                f"{plural(count, 'row')}; {name} needs at least {MIN_ROWS}, and train the rest: set another fraction, "
                f"or data.{name}=FILE"
            )
        ordered = free[stratified_order(strata[free], rng.numpy_stream(seed, "split", name))]
        rows[name], free = np.sort(ordered[:count]), np.sort(ordered[count:])
    drawn = np.concatenate(list(rows.values()))
    rest = np.flatnonzero(~np.isin(codes, codes[drawn]))
    left_out = train.num_rows - len(rest) - len(drawn)
    parts = " and ".join(f"{name} ({percent(fractions[name], 0)})" for name in fractions)
    note = f"{parts} drawn from {train.origin} by class, with data.subset_seed={seed}; no text is in two splits"
    if left_out:
        note += f" ({plural(left_out, 'repeated row')} left out)"
    splits = {"train": dataclasses.replace(train.select(rest), notes=(*train.notes, note))}
    return splits | {name: dataclasses.replace(train.select(part), name=name, notes=()) for name, part in rows.items()}
