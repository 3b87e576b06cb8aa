"""Words and helpers shared by the grammars.

The vocabulary is deliberately small and closed: a tiny model trained from scratch sees every word often enough to learn
it within a few hundred steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

WOMEN: tuple[str, ...] = ("anna", "mary", "lisa", "emma", "sara")
MEN: tuple[str, ...] = ("tom", "john", "paul", "mark", "peter")
NAMES: tuple[str, ...] = WOMEN + MEN
CITIES: tuple[str, ...] = ("paris", "rome", "london", "berlin", "madrid", "vienna")
DAYS: tuple[str, ...] = ("on monday", "on friday", "last week", "this morning", "in june")
PLACES: tuple[str, ...] = ("at school", "at home", "in town", "at work", "near rome")


@dataclass(frozen=True)
class Draft:
    """One row of a grammar, before label noise.

    Attributes:
        text: First (or only) sentence.
        text_pair: Second sentence of a pair task, else None.
        label: Class index, or a score for the similarity task; 0 if the answer is a text.
        domain: Domain of the row, in a task with domains.
        answer: Answer text, in a task that is answered with text.
    """

    text: str
    text_pair: str | None
    label: int | float
    domain: str | None = None
    answer: str | None = None


Maker = Callable[[random.Random], Draft]


def other(rng: random.Random, values: Sequence[T], excluded: T) -> T:
    """Pick a value other than the excluded one.

    Args:
        rng: Source of randomness.
        values: Values to choose from, at least two.
        excluded: The value to avoid.

    Returns:
        One of `values` other than `excluded`.
    """
    return rng.choice([value for value in values if value != excluded])


def two_names(rng: random.Random) -> tuple[str, str]:
    """Pick two different first names.

    Args:
        rng: Source of randomness.

    Returns:
        Two distinct names in random order.
    """
    first, second = rng.sample(NAMES, 2)
    return first, second


def same_gender(rng: random.Random) -> tuple[str, str]:
    """Pick two different names with the same pronoun.

    Args:
        rng: Source of randomness.

    Returns:
        Two distinct names of one gender, in random order.
    """
    first, second = rng.sample(rng.choice((WOMEN, MEN)), 2)
    return first, second


def pronoun(name: str) -> str:
    """The subject pronoun of a name.

    Args:
        name: A name of `NAMES`.

    Returns:
        "she" or "he".
    """
    return "she" if name in WOMEN else "he"


def sentence(*parts: str, end: str = ".") -> str:
    """Join the non-empty parts into a sentence.

    Args:
        *parts: Phrases in order; empty ones are left out.
        end: Closing mark.

    Returns:
        The sentence with single spaces and the closing mark.
    """
    return " ".join(part for part in parts if part) + end
