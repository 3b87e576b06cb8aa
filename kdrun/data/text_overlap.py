"""Overlap of two texts: equality and ROUGE-L."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

WORD = re.compile(r"\w+")


def is_equal(prediction: str, reference: str) -> bool:
    """Whether two texts are equal without case and blanks, which many vocabularies do not keep."""
    return _letters(prediction) == _letters(reference)


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L of two texts (Lin 2004): F1 of the longest common subsequence of their words.

    Precision is the share of the prediction's words in the subsequence, recall that of the reference's. Words are runs
    of letters and digits in lower case, without stemming, as in the package `rouge_score`; that package drops letters
    outside of ASCII.

    Returns:
        A number in [0, 1]; 0 if a text has no word.
    """
    predicted, gold = words(prediction), words(reference)
    common = common_length(predicted, gold)
    return 2 * common / (len(predicted) + len(gold)) if common else 0.0


def mean(measure: Callable[[str, str], float], predictions: Sequence[str], references: Sequence[str]) -> float:
    """Mean of a measure over pairs of a prediction and its reference.

    Raises:
        ValueError: their numbers differ.
    """
    values = [measure(prediction, gold) for prediction, gold in zip(predictions, references, strict=True)]
    return sum(values) / len(values)


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return WORD.findall(text.lower())


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    Bit-parallel (Hyyrö 2004): bit i of `row` is 0 where the subsequence grows at word i of the first text.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(first) - row.bit_count()


def _letters(text: str) -> str:
    return "".join(text.casefold().split())
