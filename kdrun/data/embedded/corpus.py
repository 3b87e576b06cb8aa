"""Synthetic general text about a river valley, far from the tasks.

It tells of weather, trade, laws, crafts, travel and the past. The topics and the sentence forms are its own, and only
single words are shared with the tasks: the slots of its forms take every word of the task grammars, so that a
vocabulary trained on it has whole words for the tasks. `tests/unit/data/embedded/test_corpus.py` refuses task texts
in it, verbatim or with a word changed.

A paragraph has one topic and repeats its place, its thing, its quality and its town, so that predicting a masked word
rewards attention to the neighboring sentences.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache

from kdrun.data.embedded import coreference, nli, paraphrase, reviews, single_sentence
from kdrun.data.embedded.corpus_forms import FORMS, HOW, PLACES, WHEN, WHERE
from kdrun.data.embedded.generate import seeded_random
from kdrun.data.embedded.lexicon import CITIES, NAMES

PARAGRAPHS = 10800
SLOT = re.compile(r"\{(\w+)\}")
VOWEL = re.compile(r"\ba (?=[aeio]|un)")


def _words(*groups: object) -> tuple[str, ...]:
    """All different strings in nested groups, sorted."""
    words: set[str] = set()
    for group in groups:
        if isinstance(group, str):
            words.add(group)
        elif isinstance(group, dict):
            words |= set(_words(*group.values()))
        elif isinstance(group, tuple | list):
            words |= set(_words(*group))
    return tuple(sorted(words))


SLOTS: dict[str, tuple[str, ...]] = {
    "place": PLACES,
    "city": CITIES,
    "name": NAMES,
    "thing": _words(
        single_sentence.TOPICS, single_sentence.THINGS, [single for single, _ in single_sentence.ANIMATE], nli.NOUNS,
        paraphrase.OBJECTS, paraphrase.AGENTS, coreference.ITEMS, coreference.HOLDERS, reviews.DOMAINS,
        [job.split()[-1] for job, _ in nli.TASKS],
    ),
    "many": _words([plural for _, plural in single_sentence.ANIMATE]),
    "quality": _words(
        single_sentence.GOOD, single_sentence.BAD, single_sentence.QUALITIES, nli.SIZES, coreference.TOO_MUCH,
        coreference.TOO_LITTLE, reviews.GOOD, reviews.BAD, list(reviews.CUES),
    ),
    "does": _words([one for one, _ in (*single_sentence.INTRANSITIVE, *single_sentence.TRANSITIVE)]),
    "base": _words(
        [many for _, many in (*single_sentence.INTRANSITIVE, *single_sentence.TRANSITIVE)], paraphrase.FEELINGS,
        [base for base, _ in (*coreference.ACTIVITIES, *coreference.DEEDS)], [job.split()[0] for job, _ in nli.TASKS],
    ),
    "past": _words(
        nli.VERBS, [past for past, _ in nli.ACTS], [past for forms in paraphrase.TRANSFERS for past, _ in forms],
        coreference.SUBJECT_VERBS, [past for _, past in (*coreference.ACTIVITIES, *coreference.DEEDS)],
        [job.split()[0] for _, job in nli.TASKS],
    ),
    "done": _words([form for _, form in nli.ACTS], [form for forms in paraphrase.TRANSFERS for _, form in forms]),
    "doing": _words(paraphrase.ACTIONS),
    "when": WHEN,
    "where": WHERE,
    "how": HOW,
}  # fmt: skip
"""Words by slot, those of the task grammars and the names of places, and adverbials of several words."""
REPEATED = ("place", "thing", "quality", "city", "name")
"""Slots that keep one word through a paragraph; numbered ones, such as `{thing2}`, are drawn for each sentence."""


def _sentence(rng: random.Random, form: str, repeated: dict[str, str]) -> str:
    """Fill the slots of a form; different numbers of a slot get different words."""
    drawn = dict(repeated)
    for slot in SLOT.findall(form):
        if slot not in drawn:
            pool = SLOTS[slot.rstrip("0123456789")]
            drawn[slot] = rng.choice([word for word in pool if word not in drawn.values()])
    return VOWEL.sub("an ", form.format(**drawn)) + "."


def _paragraph(rng: random.Random) -> tuple[str, ...]:
    """Write three to six sentences on one topic."""
    forms = FORMS[rng.choice(tuple(FORMS))]
    repeated = {slot: rng.choice(SLOTS[slot]) for slot in REPEATED}
    return tuple(_sentence(rng, form, repeated) for form in rng.sample(forms, rng.randint(3, 6)))


@lru_cache(maxsize=1)
def corpus(seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """Generate the general corpus, once per process: a run reads it several times.

    Args:
        seed: Seed of the text.

    Returns:
        Paragraphs, each of three to six sentences.
    """
    rng = seeded_random("embedded", seed, "corpus")
    return tuple(_paragraph(rng) for _ in range(PARAGRAPHS))
