"""Batch order: length-bucketed batches for training, longest-first batches for evaluation."""

from __future__ import annotations

import numpy as np

from kdrun import rng

WINDOW = 50
"""Batches sorted by length together: enough to save most padding, few enough to stay random."""

TOKENS_PER_ROW = 128
"""Evaluation batches hold at most `batch_size` times this many tokens, padding included."""


def bucketed_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int, phase: str = "") -> list[np.ndarray]:
    """The batches of one training epoch.

    Rows are shuffled, cut into windows of 50 batches, sorted by length within a window and cut into batches;
    then the batches are shuffled. So a batch holds rows of similar length, and the order of rows is unpredictable.

    Args:
        lengths: tokens of each row, [rows].
        batch_size: rows per batch.
        seed: the run's seed.
        epoch: number of the epoch, from 0.
        phase: name of the phase.

    Returns:
        Row numbers of each batch, [batch] each. Every row is in exactly one batch; all batches are full except at
        most one, at any position.
    """
    stream = rng.numpy_stream(seed, "order", phase, epoch)
    order = stream.permutation(len(lengths))
    window = WINDOW * batch_size
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        # stable: rows of equal length stay in random order
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    return [batches[i] for i in stream.permutation(len(batches))]


def longest_first_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for a pass in any order: rows sorted from long to short.

    The largest batch comes first, so that a machine with too little memory fails at the start, not at the end.

    Args:
        lengths: tokens of each row, [rows].
        batch_size: most rows per batch; batches of long rows are smaller, at most `batch_size` x 128 tokens
            with padding (or one row).

    Returns:
        Row numbers of each batch, [batch] each; every row is in exactly one batch.
    """
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    most_tokens = batch_size * TOKENS_PER_ROW
    batches = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        size = min(batch_size, max(1, most_tokens // longest))
        batches.append(order[start : start + size])
        start += size
    return batches
