"""Grammar of the extraction task: answers derived from the sentence, unseen names."""

import re

import pytest

from kdrun.data.embedded import corpus, generate, ner
from kdrun.data.embedded.lexicon import CITIES, NAMES
from kdrun.data.entities import parse

# The text before a name determines its type; a person needs none.
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


def entities_of(text: str) -> list[tuple[str, str]]:
    """The entities of a sentence, derived from its words alone."""
    match = SENTENCE.fullmatch(text)
    assert match is not None, text
    names = {k: v for k, v in match.groupdict().items() if v and k != "job"}
    return [(TYPES[k[0]], v) for k, v in sorted(names.items(), key=lambda item: match.start(item[0]))]


def answers(split: str) -> list[str]:
    """The answers of a split."""
    texts = generate("conll2003", split).answer
    assert texts is not None
    return texts


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_answers_follow_from_the_sentence(split: str) -> None:
    rows = generate("conll2003", split)
    for text, answer in zip(rows.text[:500], answers(split), strict=False):
        assert parse(answer) == entities_of(text), text


def invented_words(split: str) -> list[str]:
    """Return words in a split's names that are neither first names, cities nor ordinary words."""
    names = [name for answer in answers(split) for _, name in parse(answer)]
    vocabulary = {*NAMES, *CITIES, *ner.WORDS}
    return [word for name in names for word in name.split() if word not in vocabulary]


def test_unseen_names_are_half_of_the_invented_ones_outside_train() -> None:
    assert not any(map(ner.is_unseen, invented_words("train")))
    for split in ("dev", "test"):
        words = invented_words(split)
        assert 0.45 < sum(map(ner.is_unseen, words)) / len(words) < 0.55


def test_words_do_not_determine_the_type() -> None:
    """The same word is a name of several types, so the word alone is not enough."""
    types: dict[str, set[str]] = {}
    for answer in answers("train"):
        for entity_type, name in parse(answer):
            for word in name.split():
                types.setdefault(word, set()).add(entity_type)
    assert sum(len(types[word]) >= 3 for word in ner.WORDS) > 0.9 * len(ner.WORDS)


def test_some_sentences_have_no_entity() -> None:
    assert 0.02 < answers("dev").count("none") / len(answers("dev")) < 0.1


def test_ordinary_words_occur_in_the_corpus() -> None:
    words = {word for paragraph in corpus() for line in paragraph for word in re.findall(r"[a-z]+", line)}
    assert set(ner.WORDS) | set(ner.JOBS) <= words
    assert len(set(ner.WORDS)) == len(ner.WORDS)
