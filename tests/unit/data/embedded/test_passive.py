"""Grammar of the free-text task: answers against a second derivation from the sentence."""

import re

import pytest

from kdrun.data.embedded import generate
from kdrun.data.embedded.lexicon import DAYS, NAMES
from kdrun.data.embedded.ner import JOBS

PARTICIPLES = {"broke": "broken", "drew": "drawn", "hid": "hidden", "stole": "stolen", "took": "taken"}
"""Those that differ from the past tense."""
AGENT, WHEN = "|".join([*NAMES, *(f"the {job}" for job in JOBS)]), "|".join(DAYS)
SENTENCE = re.compile(rf"({AGENT}) ([a-z]+) (the [a-z]+(?: [a-z]+)?)(?: ({WHEN}))?[.]")


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_follow_from_the_sentence(split: str) -> None:
    rows = generate("passive", split)
    assert rows.answer is not None
    for text, answer in zip(rows.text[:300], rows.answer, strict=False):
        match = SENTENCE.fullmatch(text)
        assert match is not None, text
        agent, verb, thing, when = match.groups()
        assert answer == f"{thing} was {PARTICIPLES.get(verb, verb)} by {agent}{f' {when}' if when else ''}."
