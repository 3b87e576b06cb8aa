"""Texts between prompts: which of two texts is cut, and by how much."""

from __future__ import annotations

import pytest

from kdrun.data.prompt_tokenization import truncation_lengths


@pytest.mark.parametrize(
    ("lengths", "room", "expected"),
    [
        ([5], 8, [5]),
        ([9], 8, [8]),
        ([3, 4], 8, [3, 4]),
        ([2, 20], 8, [2, 6]),
        ([20, 2], 8, [6, 2]),
        ([20, 30], 8, [4, 4]),
        ([30, 20], 9, [5, 4]),
        ([0, 20], 8, [0, 8]),
    ],
)
def test_the_longer_text_is_cut_first(lengths: list[int], room: int, expected: list[int]) -> None:
    assert truncation_lengths(lengths, room) == expected
