"""Names of classes in files of others."""

import pytest

from kdrun.data.class_names import ClassResolver

MNLI = ["entailment", "neutral", "contradiction"]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("neutral", 1),
        ("Neutral ", 1),
        ("neu", 1),
        ("ENTAIL", 0),
        ("contradicts", 2),
        ("LABEL_2", 2),
        ("0", 0),
        ("3", None),
        ("other", None),
    ],
)
def test_names_are_found_in_every_usual_spelling(name: str, index: int | None) -> None:
    assert ClassResolver(MNLI).index(name) == index


def test_a_mapping_wins_and_changed_names_are_listed() -> None:
    resolver = ClassResolver(["negative", "positive"], {"good": "positive", "pos": "negative"})
    assert [resolver.index(name) for name in ("good", "pos", "negative")] == [1, 0, 0]
    assert resolver.renamed() == {"good": "positive", "pos": "negative"}


def test_a_spelling_of_two_classes_is_no_name_of_either() -> None:
    resolver = ClassResolver(["New York", "new-york", "0"])
    assert resolver.index("new_york") is None
    assert (resolver.index("New York"), resolver.index("new-york"), resolver.index("0")) == (0, 1, 2)
