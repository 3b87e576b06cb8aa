"""Batch samplers: row order, similar lengths, token bounds."""

from __future__ import annotations

import numpy as np
import pytest

from kdrun.data.samplers import TOKENS_PER_ROW, WINDOW, bucketed_batches, longest_first_batches


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def some_lengths(rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(3, 60, rows).astype(np.int32)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 400, 1003])
def test_every_row_is_in_exactly_one_batch(rows: int):
    batches = bucketed_batches(some_lengths(rows), 8, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(rows))
    sizes = sorted(len(batch) for batch in batches)
    assert all(size == 8 for size in sizes[1:])
    assert sizes[0] == (rows % 8 or 8)


def test_order_is_a_function_of_its_arguments():
    lengths = some_lengths(100)
    first = bucketed_batches(lengths, 8, seed=1, epoch=0, phase="distil")
    assert same(first, bucketed_batches(lengths.copy(), 8, seed=1, epoch=0, phase="distil"))
    for seed, epoch, phase in [(2, 0, "distil"), (1, 1, "distil"), (1, 0, "")]:
        assert not same(first, bucketed_batches(lengths, 8, seed=seed, epoch=epoch, phase=phase))


def test_order_draws_from_no_global_generator():
    lengths = some_lengths(50)
    np.random.seed(0)
    first = bucketed_batches(lengths, 8, seed=1, epoch=0)
    np.random.seed(1)
    assert same(first, bucketed_batches(lengths, 8, seed=1, epoch=0))


def test_batches_hold_rows_of_like_length():
    lengths = some_lengths(8 * WINDOW * 2)
    padded = sum(len(batch) * lengths[batch].max() for batch in bucketed_batches(lengths, 8, seed=1, epoch=0))
    assert lengths.sum() / padded > 0.95


def test_batches_are_not_ordered_by_length():
    lengths = some_lengths(8 * WINDOW)
    longest = [lengths[batch].max() for batch in bucketed_batches(lengths, 8, seed=1, epoch=0)]
    assert longest != sorted(longest)


def test_no_rows_make_no_batches():
    assert bucketed_batches(np.array([], np.int32), 8, seed=1, epoch=0) == []
    assert longest_first_batches(np.array([], np.int32), 8) == []


def test_by_length_starts_with_the_longest_and_bounds_tokens():
    lengths = np.concatenate([some_lengths(100), np.array([500, 512, 300], np.int32)])
    batches = longest_first_batches(lengths, 8)
    assert sorted(np.concatenate(batches)) == list(range(103))
    assert lengths[batches[0]].tolist() == [512, 500]
    order = lengths[np.concatenate(batches)]
    assert (np.diff(order.astype(int)) <= 0).all()
    assert all(len(b) <= 8 and len(b) * lengths[b].max() <= 8 * TOKENS_PER_ROW for b in batches)


def test_by_length_keeps_a_row_that_is_longer_than_the_bound():
    assert [len(b) for b in longest_first_batches(np.array([5000, 5000, 1]), 2)] == [1, 1, 1]
