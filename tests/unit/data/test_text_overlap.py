"""Overlap of texts: values by hand, and the subsequence against the textbook recursion."""

import random

import pytest

from kdrun.data.text_overlap import common_length, is_equal, mean, rouge_l


def textbook_length(first: list[str], second: list[str]) -> int:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_common_subsequences_are_those_of_the_textbook() -> None:
    rng = random.Random(1)
    for _ in range(200):
        first, second = ([rng.choice("abcd") for _ in range(rng.randrange(0, 70))] for _ in range(2))
        assert common_length(first, second) == textbook_length(first, second)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("police kill the gunman", "police killed the gunman", 3 / 4),  # example of Lin 2004: 3 common words of 4 and 4
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        ("The cat, sat!", "the cat sat down", 2 * 3 / 7),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("...", "", 0.0),
        ("köln", "Köln", 1.0),
    ],
)
def test_rouge_l_by_hand(prediction: str, reference: str, expected: float) -> None:
    assert rouge_l(prediction, reference) == pytest.approx(expected)


def test_equality_ignores_case_and_blanks() -> None:
    assert is_equal("It 's  red .", "it's red.")
    assert not is_equal("it is red", "it's red")
    assert mean(is_equal, ["a", "b", "c", "d"], ["A", "x", "c", ""]) == 0.5
