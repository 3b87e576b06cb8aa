"""Helpers for tests of the synthetic tasks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from kdrun.data.embedded import TASKS, Rows
from kdrun.data.embedded.generate import SIZES, TEXT_MAKERS
from kdrun.data.sources import embedded as source

WORD = re.compile(r"[a-z]+")
LABELED_TASKS = tuple(task for task in TASKS if task not in TEXT_MAKERS)  # test_ner.py tests the others


@contextmanager
def fewer_rows(task: str, **sizes: int) -> Iterator[None]:
    """Other sizes of a task's splits, for runs whose scores are not looked at: scoring takes most of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, task, SIZES[task] | sizes)
        source._embedded_split.cache_clear()
        yield
    source._embedded_split.cache_clear()


def splits_of(task: str) -> tuple[str, ...]:
    """The split names of a task."""
    return tuple(SIZES[task])


def row_keys(rows: Rows) -> list[tuple[str, str]]:
    """The text(s) of each row, to compare rows by."""
    return list(zip(rows.text, rows.text_pair or [""] * len(rows.text), strict=True))


def sentences_of(rows: Rows) -> set[str]:
    """All sentences of a split."""
    return set(rows.text) | set(rows.text_pair or ())


def word_features(rows: Rows, vocabulary: dict[str, int]) -> csr_matrix:
    """Word counts; for pairs also the shared counts and the differences of both sides."""
    columns = []
    for side in (rows.text, rows.text_pair):
        counts = np.zeros((len(rows.text), len(vocabulary)), dtype=np.float32)
        for index, text in enumerate(side or ()):
            for word in WORD.findall(text):
                counts[index, vocabulary[word]] += 1
        columns.append(counts)
    if rows.text_pair is None:
        return csr_matrix(columns[0])
    shared, difference = np.minimum(*columns), np.abs(columns[0] - columns[1])
    totals = np.stack([shared.sum(axis=1), difference.sum(axis=1)], axis=1)
    return csr_matrix(np.concatenate([*columns, shared, difference, totals], axis=1))
