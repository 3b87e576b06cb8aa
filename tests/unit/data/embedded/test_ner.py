"""The grammar of the extraction task: its answers read anew from the sentence, and names that are never in train."""

import re

import pytest

from kdrun.data.embedded import corpus, generate, ner
from kdrun.data.embedded.lexicon import CITIES, NAMES
from kdrun.data.entities import parse

# What stands before a name says what it is of; a person needs nothing before it.
PLACES, SCHOOL, SONG = r"(?:visited|from| to)", r"the school", r"sang the song"
JOBS = "|".join(ner.JOBS)
NAME = r"[a-z]+(?: [a-z]+)?"
SUBJECT = (
    rf"(?:the (?P<job>{JOBS})(?: (?P<p1>{NAME}))?|the school (?P<o1>{NAME})|(?P<p2>{NAME})"
    rf"(?:, a (?:{JOBS}) from (?P<l1>{NAME}),)?)"
)
THING = r"(?:the|a) [a-z]+"
DEED = (
    rf"(?:visited (?P<l2>{NAME})|sent {THING} to (?P<l3>{NAME})|met (?P<p3>{NAME})|showed {THING} to (?P<p4>{NAME})"
    rf"|worked for the school (?P<o2>{NAME})|sang the song (?P<m1>{NAME})|brought {THING} home)"
)
SENTENCE = re.compile(rf"{SUBJECT} {DEED}(?: (?:on monday|on friday|last week|this morning|in june))?[.]")
TYPES = {"p": "person", "l": "location", "o": "organization", "m": "miscellaneous"}


def reread(text: str) -> list[tuple[str, str]]:
    """The names of a sentence, worked out from its words alone."""
    match = SENTENCE.fullmatch(text)
    assert match is not None, text
    found = {k: v for k, v in match.groupdict().items() if v and k != "job"}
    return [(TYPES[k[0]], v) for k, v in sorted(found.items(), key=lambda item: match.start(item[0]))]


def answers(split: str) -> list[str]:
    """The answers of a split."""
    found = generate("conll2003", split).answer
    assert found is not None
    return found


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_answers_follow_from_the_sentence(split: str) -> None:
    rows = generate("conll2003", split)
    for text, answer in zip(rows.text[:500], answers(split), strict=False):
        assert parse(answer) == reread(text), text


def made_up(split: str) -> list[str]:
    """The words of a split's names that are neither first names, cities nor ordinary words."""
    named = [words for answer in answers(split) for _, words in parse(answer)]
    known = {*NAMES, *CITIES, *ner.WORDS}
    return [word for words in named for word in words.split() if word not in known]


def test_names_are_kept_out_of_train_and_make_up_half_of_those_in_dev_and_test() -> None:
    assert not any(map(ner.is_unseen, made_up("train")))
    for split in ("dev", "test"):
        found = made_up(split)
        assert 0.45 < sum(map(ner.is_unseen, found)) / len(found) < 0.55


def test_a_word_says_nothing_of_the_type() -> None:
    """The same word is a name of several types: whoever goes by the word alone cannot know."""
    types: dict[str, set[str]] = {}
    for answer in answers("train"):
        for kind, words in parse(answer):
            for word in words.split():
                types.setdefault(word, set()).add(kind)
    assert sum(len(types[word]) >= 3 for word in ner.WORDS) > 0.9 * len(ner.WORDS)


def test_some_sentences_name_nobody() -> None:
    assert 0.02 < answers("dev").count("none") / len(answers("dev")) < 0.1


def test_ordinary_words_are_the_corpuss_own() -> None:
    told = {word for paragraph in corpus() for line in paragraph for word in re.findall(r"[a-z]+", line)}
    assert set(ner.WORDS) | set(ner.JOBS) <= told
    assert len(set(ner.WORDS)) == len(ner.WORDS)
