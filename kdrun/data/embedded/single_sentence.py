"""Grammars of the single-sentence tasks: SST-2 and CoLA."""

from __future__ import annotations

import random

from kdrun.data.embedded.lexicon import PLACES, Draft, sentence

TOPICS: tuple[str, ...] = (
    "film", "story", "plot", "acting", "music", "script", "ending", "cast", "humor", "dialogue",
    "book", "song", "show", "novel", "hero", "scene",
)  # fmt: skip
GOOD: tuple[str, ...] = (
    "great", "funny", "moving", "clever", "charming", "brilliant", "fresh", "lovely",
    "superb", "warm", "smart", "exciting", "elegant", "touching", "witty", "sincere",
)  # fmt: skip
BAD: tuple[str, ...] = (
    "awful", "boring", "dull", "stupid", "weak", "messy", "stale", "ugly",
    "terrible", "cold", "silly", "tedious", "clumsy", "hollow", "lame", "fake",
)  # fmt: skip
DEGREES: tuple[str, ...] = ("", "", "very ", "really ", "quite ", "so ")
AFFIRM: tuple[str, ...] = ("is", "was", "seems", "is truly", "was always")
NEGATE: tuple[str, ...] = ("is not", "was never", "is hardly", "is far from", "was anything but")

DOUBTS: tuple[str, ...] = ("nobody thinks that", "it is wrong to say that")


def _opinion(rng: random.Random, topic: str, positive: bool, negated: bool) -> str:
    """State an opinion on a topic; negation reverses the required word."""
    word = rng.choice(GOOD if positive != negated else BAD)
    # "far from very good" would be odd, so only plain clauses have a degree word.
    degree = "" if negated else rng.choice(DEGREES)
    return f"the {topic} {rng.choice(NEGATE if negated else AFFIRM)} {degree}{word}"


def sst2(rng: random.Random) -> Draft:
    """Write one sentiment row: plain, negated, or contrasting clauses.

    Args:
        rng: Source of randomness.

    Returns:
        A row labeled 0 (negative) or 1 (positive).
    """
    label = rng.randrange(2)
    positive = bool(label)
    first, second = rng.sample(TOPICS, 2)
    shape = rng.random()
    if shape < 0.12:  # Doubt reverses the verdict of the clause.
        doubted = _opinion(rng, first, not positive, rng.random() < 0.3)
        return Draft(sentence(rng.choice(DOUBTS), doubted), None, label)
    main = _opinion(rng, first, positive, rng.random() < 0.3)
    if shape < 0.65:
        return Draft(sentence(main), None, label)
    aside = _opinion(rng, second, not positive, rng.random() < 0.4)
    # the verdict is in the clause after "but", and in the clause without "although".
    text = rng.choice((f"{aside}, but {main}", f"although {aside}, {main}", f"{main}, although {aside}"))
    return Draft(sentence(text), None, label)


ANIMATE: tuple[tuple[str, str], ...] = (
    ("dog", "dogs"), ("cat", "cats"), ("girl", "girls"), ("boy", "boys"),
    ("teacher", "teachers"), ("farmer", "farmers"),
)  # fmt: skip
THINGS: tuple[str, ...] = ("bread", "table", "apple", "fence", "letter", "box", "picture", "chair")
QUALITIES: tuple[str, ...] = ("small", "old", "happy", "quiet", "young", "clever")
INTRANSITIVE: tuple[tuple[str, str], ...] = (
    ("sleeps", "sleep"), ("smiles", "smile"), ("arrives", "arrive"), ("falls", "fall"),
    ("laughs", "laugh"),
)  # fmt: skip
TRANSITIVE: tuple[tuple[str, str], ...] = (
    ("finds", "find"), ("takes", "take"), ("makes", "make"), ("wants", "want"),
    ("carries", "carry"),
)  # fmt: skip


def _subject(rng: random.Random, plural: bool) -> list[str]:
    """Write a noun phrase, sometimes with a prepositional phrase whose noun may distract."""
    words = ["the"]
    if rng.random() < 0.5:
        words.append(rng.choice(QUALITIES))
    words.append(rng.choice(ANIMATE)[plural])
    if rng.random() < 0.15:
        words += ["near", "the", rng.choice(ANIMATE)[rng.randrange(2)]]
    return words


def _scramble(rng: random.Random, subject: list[str], verb: list[str]) -> list[str]:
    """Put words in an ungrammatical order."""
    order = rng.randrange(3)
    if order == 0:  # "dog the sleeps"
        return subject[1:2] + subject[:1] + subject[2:] + verb
    if order == 1:  # "sleeps the dog"
        return verb[:1] + subject + verb[1:]
    return subject[:1] + verb[:1] + subject[1:] + verb[1:]  # "the sleeps dog"


def cola(rng: random.Random) -> Draft:
    """Write one acceptability row, broken by agreement, order, or arguments.

    Args:
        rng: Source of randomness.

    Returns:
        A row labeled 0 (unacceptable) or 1 (acceptable).
    """
    label = rng.randrange(2)
    fault = "" if label else rng.choice(("agreement", "agreement", "order", "argument"))
    plural = rng.random() < 0.5
    subject = _subject(rng, plural)
    takes_object = rng.random() < 0.5
    forms = rng.choice(TRANSITIVE if takes_object else INTRANSITIVE)
    verb = [forms[plural != (fault == "agreement")]]
    if takes_object != (fault == "argument"):
        verb += ["the", rng.choice(THINGS)]
    words = _scramble(rng, subject, verb) if fault == "order" else subject + verb
    tail = rng.choice(("", "", "every day", *PLACES))
    return Draft(sentence(*words, tail), None, label)
