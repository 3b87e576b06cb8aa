"""Statistics of generated text, counted by hand."""

import math

import numpy as np
import pytest

from kdrun.generation.text_statistics import GeneratedRow, copied, measure, ngrams, normalized_entropy, words

LABELS = ["no", "yes"]


def row(text: str, source: str, yes: float = 0.8, target: int | None = None, number: int = 0) -> GeneratedRow:
    return GeneratedRow((text,), (source,), np.array([1 - yes, yes]), number, target)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop.", ["don", "'", "t", "stop", "."]),
        ("don ' t stop .", ["don", "'", "t", "stop", "."]),  # as a WordPiece decoder spaces it
        ("Straße 12", ["strasse", "12"]),
        (" \t", []),
    ],
)
def test_words_do_not_depend_on_spacing_and_case(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_ngrams_stay_inside_a_text() -> None:
    assert list(ngrams(["a b c", "d"], 2)) == [("a", "b"), ("b", "c")]
    assert list(ngrams(["a b", "c"], 1)) == [("a",), ("b",), ("c",)]
    assert list(ngrams(["a"], 2)) == []


def test_an_ngram_is_copied_as_often_as_the_source_has_it() -> None:
    assert copied("aab", "abb") == 2  # one a, one b
    assert copied("xy", "ab") == 0
    assert copied("ba", "ab") == 2


@pytest.mark.parametrize(
    ("shares", "value"),
    [([0.5, 0.5], 1.0), ([1.0, 0.0], 0.0), ([0.25, 0.75], 0.8112781), ([1.0], 1.0), ([1 / 3] * 3, 1.0)],
)
def test_evenness_is_entropy_over_its_maximum(shares: list[float], value: float) -> None:
    assert normalized_entropy(shares) == pytest.approx(value)
    assert math.copysign(1, normalized_entropy(shares)) == 1  # never -0.0


def test_figures_by_hand() -> None:
    rows = [
        # words the red cat; the blue cat. Of 3 words 2 are the source's; of 2 pairs none
        row("the blue cat", "The red cat", yes=0.9, target=1),
        # of 2 words 2, of 1 pair 1; nothing changed
        row("a dog", "a dog", yes=0.3, target=1),
        # of 3 words 1 (the source has one `the`), of 2 pairs none
        row("the the the", "the end", yes=0.6),
    ]
    statistics = measure(rows, LABELS)
    assert statistics["rows"] == 3
    assert statistics["distinct_1"] == pytest.approx(5 / 8)  # the blue cat a dog
    assert statistics["distinct_2"] == pytest.approx(4 / 5)  # the blue, blue cat, a dog, the the (twice)
    assert statistics["source_distinct_1"] == pytest.approx(6 / 7)  # the red cat a dog end
    assert statistics["source_distinct_2"] == pytest.approx(1.0)
    assert statistics["copied_1"] == pytest.approx(5 / 8)
    assert statistics["copied_2"] == pytest.approx(1 / 5)
    assert statistics["unchanged"] == pytest.approx(1 / 3)
    assert (statistics["words"], statistics["source_words"]) == (pytest.approx(8 / 3), pytest.approx(7 / 3))
    assert statistics["confidence"] == pytest.approx((0.9 + 0.7 + 0.6) / 3)
    assert statistics["classes"] == {"no": pytest.approx(1 / 3), "yes": pytest.approx(2 / 3)}
    assert statistics["agreement"] == pytest.approx(1 / 2)  # of the two rows that a class was wanted of
    assert statistics["wanted"] == {"no": 0.0, "yes": 1.0}
    assert statistics["evenness"] == pytest.approx(0.9182958)


def test_pairs_are_measured_text_by_text() -> None:
    pair = GeneratedRow(("a b", "c d"), ("a b", "c x"), np.array([0.4, 0.6]), 0)
    statistics = measure([pair], LABELS)
    assert (statistics["distinct_2"], statistics["copied_2"], statistics["words"]) == (1.0, 0.5, 4.0)
    assert statistics["unchanged"] == 0.0


def test_what_cannot_be_measured_is_none() -> None:
    statistics = measure([row("one", "two")], LABELS)
    assert (statistics["distinct_2"], statistics["copied_2"], statistics["agreement"], statistics["wanted"]) == (
        None,
        None,
        None,
        None,
    )
    with pytest.raises(ValueError, match="no rows"):
        measure([], LABELS)


def test_rows_are_streamed_once() -> None:
    assert measure((row("a b", "a c", number=i) for i in range(3)), LABELS)["rows"] == 3
