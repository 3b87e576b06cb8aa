"""Entities as text: serialized, parsed, compared and scored."""

import pytest

from kdrun.data import entities
from kdrun.data.entities import (
    count_matches,
    count_unsupported,
    entity_counts,
    is_ambiguous,
    matches_by_type,
    normalize,
    parse,
    score,
    scores_from_counts,
    serialize,
)
from kdrun.errors import DataError
from tests.helpers.paths import SHARED


@pytest.mark.parametrize(
    "entities_of_a_text",
    [
        [],
        [("person", "John Smith"), ("location", "Paris")],
        [("location", "Paris"), ("person", "John Smith"), ("location", "Paris")],
        [("miscellaneous", "NATO : Part 2"), ("person", "none")],
    ],
)
def test_parse_inverts_serialize(entities_of_a_text: list[tuple[str, str]]) -> None:
    assert parse(serialize(entities_of_a_text)) == entities_of_a_text


def test_the_text_is_the_documented_one() -> None:
    assert serialize([("person", "John Smith"), ("location", "Paris")]) == "person: John Smith; location: Paris"
    assert serialize([]) == "none"


@pytest.mark.parametrize("entity", [("person", "a; b"), ("per:son", "a"), ("person", " "), ("", "a")])
def test_ambiguous_entities_are_refused(entity: tuple[str, str]) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        serialize([entity])


def test_malformed_texts_are_parsed() -> None:
    assert parse("  NONE ") == parse("") == []
    assert parse("person: ; ; animal: dog;;smith") == [("person", ""), ("animal", "dog"), ("", "smith")]
    assert parse("person john") == [("", "person john")]
    assert parse("location: x: y") == [("location", "x: y")]


def test_names_are_compared_without_case_accents_and_blanks() -> None:
    assert normalize("U.S. Open") == normalize("u. s. open")
    assert normalize("São  Tomé") == normalize("sao tome")
    assert normalize("Ankara") != normalize("Ankaran")
    assert entity_counts("person : ana ; PERSON: Ana") == {("person", "ana"): 2}


GOLD = "person: Ann Lee; location: Rome; location: Rome"


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        (GOLD, (3, 3, 3)),
        ("location : rome ; person : ann lee ; location : rome", (3, 3, 3)),  # order is ignored
        ("person: Ann Lee; location: Rome", (2, 2, 3)),  # predicted once, gold twice
        ("location: Rome; location: Rome; location: Rome", (2, 3, 3)),  # predicted three times, gold twice
        ("person: Ann; location: Rome", (1, 2, 3)),  # a part of a name is wrong
        ("organization: Rome", (0, 1, 3)),
        ("city: Rome", (0, 1, 3)),  # an unknown type
        ("person: Ann Lee; Rome", (1, 2, 3)),  # a part without type
        ("none", (0, 0, 3)),
    ],
)
def test_counts_by_hand(predicted: str, expected: tuple[int, int, int]) -> None:
    assert count_matches(GOLD, predicted) == expected


def test_scores_by_hand() -> None:
    gold, predicted = [GOLD, "none", "person: Bo"], ["person: Ann Lee; location: Rome", "person: Bo", "person: Bo"]
    # correct 2 + 0 + 1, predicted 2 + 1 + 1, gold 3 + 0 + 1
    assert score(gold, predicted) == {"entity_f1": 6 / 8, "entity_precision": 3 / 4, "entity_recall": 3 / 4}
    assert matches_by_type(gold, predicted, ["person", "location", "organization"]) == {
        "person": (2, 3, 2),
        "location": (1, 1, 2),
        "organization": (0, 0, 0),
    }


def test_scores_without_entities_are_undefined_or_zero() -> None:
    assert scores_from_counts(0, 0, 0) == dict.fromkeys(entities.METRICS)
    assert scores_from_counts(0, 0, 2) == {"entity_f1": 0.0, "entity_precision": None, "entity_recall": 0.0}
    assert scores_from_counts(0, 2, 0) == {"entity_f1": 0.0, "entity_precision": 0.0, "entity_recall": None}
    with pytest.raises(ValueError, match="zip"):
        score(["none"], [])


def test_ambiguous_sentences() -> None:
    words = ["Bank", "of", "China", "said", "China", "and", "the", "US", "told", "us"]
    assert is_ambiguous(words, [("location", "China")])  # it also occurs in the bank's name
    assert is_ambiguous(words, [("location", "US")])  # as "us", compared without case
    assert not is_ambiguous(words, [("organization", "Bank of China"), ("location", "China"), ("location", "China")])


def test_unsupported_entities_are_counted() -> None:
    assert (
        count_unsupported("Ann Lee went to Rome .", "person: ann lee; person: Bo; location: rom; location: Paris") == 2
    )


@pytest.mark.skipif(not (SHARED / "conll2003").is_dir(), reason="needs ../shared/conll2003")
@pytest.mark.parametrize(("split", "sentences", "ambiguous"), [("dev", 3250, 31), ("test", 3453, 16)])
def test_real_conll_survives_serialize_and_parse(split: str, sentences: int, ambiguous: int) -> None:
    from kdrun.config import compose
    from kdrun.data.sources import conll_folder

    task = compose.load_config(["task=conll2003", "preset=t5_writer"]).task
    rows = conll_folder.read_task(str(SHARED), task, [split])[split]
    gold = rows.labels().tolist()
    assert len(gold) == sentences
    assert [serialize(parse(text)) for text in gold] == gold
    assert score(gold, gold) == dict.fromkeys(entities.METRICS, 1.0)
    (note,) = rows.notes
    assert note.startswith(f"{ambiguous} of {sentences} sentences")
