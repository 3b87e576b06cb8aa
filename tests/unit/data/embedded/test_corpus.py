"""The grammar of the general corpus: forms, slots, and words that stay or differ within a paragraph."""

import random

import pytest

from kdrun.data.embedded.corpus import FORMS, REPEATED, SLOT, SLOTS, _sentence


@pytest.mark.parametrize("topic", FORMS)
def test_every_form_of_a_topic_can_be_filled(topic: str) -> None:
    rng = random.Random(0)
    assert len(set(FORMS[topic])) == len(FORMS[topic]) >= 6, "a paragraph draws up to six different forms"
    for form in FORMS[topic]:
        assert {slot.rstrip("0123456789") for slot in SLOT.findall(form)} <= SLOTS.keys(), form
        sentence = _sentence(rng, form, {slot: SLOTS[slot][0] for slot in REPEATED})
        assert sentence.endswith(".")
        assert "{" not in sentence


def test_a_repeated_slot_keeps_its_word_and_numbered_ones_differ() -> None:
    rng = random.Random(1)
    for _ in range(50):
        words = _sentence(rng, "{thing} {thing2} {thing3} {thing}", {"thing": "boat"}).rstrip(".")
        first, *others, last = words.split(" ")
        assert first == last == "boat"
        assert len({"boat", *others}) == 1 + len(others)


@pytest.mark.parametrize(("word", "article"), [("old", "an"), ("unkind", "an"), ("useful", "a"), ("small", "a")])
def test_the_article_fits_the_next_word(word: str, article: str) -> None:
    assert _sentence(random.Random(0), "a {quality} boat", {"quality": word}) == f"{article} {word} boat."
