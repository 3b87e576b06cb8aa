"""Grammar of the entity-extraction task (CoNLL-2003).

A name is an ordinary word with an ending ("bearis", "parkin"), or sometimes an ordinary word alone, like Baker, Apple
or Bath. Persons also have the first names of the other grammars, and places are also their cities. The type of a name
follows only from its sentence: "parkin" is a person in one row and a school in another, and "bear" is a name in one row
and a thing in the next ("sent the bear to …").

One name in four never occurs in train rows (`is_unseen`), and half of the invented names of dev and test rows are of
this sort: a model that memorizes names instead of copying them gets at most the other half right.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

from kdrun.data.embedded.lexicon import CITIES, DAYS, NAMES, Draft, sentence
from kdrun.data.entities import Entity, serialize

JOBS: tuple[str, ...] = ("teacher", "driver", "singer", "farmer", "doctor")
WORDS: tuple[str, ...] = (
    "apple", "author", "bag", "basket", "battery", "beach", "bear", "big", "bill", "bird", "blender", "book", "bowl",
    "box", "boy", "bread", "brilliant", "bus", "cable", "camera", "car", "case", "cast", "cat", "chair", "chapter",
    "charger", "charming", "child", "clever", "close", "clumsy", "coat", "cold", "cover", "dance", "dialogue",
    "director", "dog", "door", "drawer", "dull", "elegant", "ending", "excellent", "fake", "fence", "film", "fresh",
    "fun", "funny", "girl", "great", "grinder", "guest", "guitar", "habit", "happy", "heavy", "hill", "hollow",
    "horse", "hot", "house", "humor", "hungry", "kettle", "knife", "lame", "lamp", "large", "last", "letter", "lock",
    "locker", "long", "loud", "love", "lovely", "lunch", "man", "map", "messy", "money", "monkey", "movie", "novel",
    "old", "oven", "pan", "park", "perfect", "phone", "picture", "pillow", "plot", "pocket", "poor", "quiet",
    "rabbit", "radio", "rest", "ring", "robot", "scene", "screen", "script", "silly", "simple", "sincere", "smart",
    "smile", "solid", "speaker", "splendid", "stale", "statue", "story", "street", "student", "stupid", "suitcase",
    "superb", "table", "tight", "tiny", "tired", "toaster", "town", "train", "trophy", "trouble", "trust", "ugly",
    "vase", "warm", "wash", "window", "winter", "witty", "wolf", "woman", "wonderful", "work", "young",
)  # fmt: skip
"""Words that names are formed from."""
ENDINGS: tuple[str, ...] = ("ard", "en", "er", "el", "in", "is", "on", "or", "ter", "ol", "ent", "ast")
PLAIN_SHARE = 0.2
"""Share of the invented names that are an ordinary word without an ending."""
UNSEEN_SHARE = 0.5
"""Share of names that never occur in train rows among the invented names of dev and test rows."""


def is_unseen(name: str) -> bool:
    """Whether an invented name never occurs in train rows; ordinary words may always occur."""
    return name not in WORDS and zlib.crc32(name.encode()) % 4 == 0


Parts = Sequence[str | Entity]
"""Words of a sentence, and names with their type, in order."""


class _SentenceWriter:
    """Write the parts of a sentence: words, and names with their type."""

    def __init__(self, rng: random.Random, split: str) -> None:
        self.rng, self.split = rng, split

    def one_word(self) -> str:
        """An invented name of one word."""
        if self.rng.random() < PLAIN_SHARE:
            return self.rng.choice(WORDS)
        unseen = self.split != "train" and self.rng.random() < UNSEEN_SHARE
        while True:
            name = self.rng.choice(WORDS) + self.rng.choice(ENDINGS)
            if name not in WORDS and is_unseen(name) == unseen:
                return name

    def one_or_two_words(self) -> str:
        """An invented name of one or two words."""
        return self.one_word() if self.rng.random() < 0.75 else f"{self.one_word()} {self.one_word()}"

    def person(self) -> Parts:
        shape = self.rng.random()
        name = self.rng.choice(NAMES)
        if shape >= 0.6:
            return [("person", self.one_or_two_words())]
        return [("person", name if shape < 0.2 else f"{name} {self.one_word()}")]

    def place(self) -> Parts:
        return [("location", self.rng.choice(CITIES) if self.rng.random() < 0.2 else self.one_or_two_words())]

    def school(self) -> Parts:
        return [("organization", self.one_or_two_words())]

    def subject(self) -> Parts:
        """A subject: a person, sometimes with an apposition, a school, or a person without a name."""
        form = self.rng.random()
        if form < 0.3:
            return self.person()
        if form < 0.42:
            return [*self.person(), f", a {self.rng.choice(JOBS)} from", *self.place(), ","]
        if form < 0.54:
            return [f"the {self.rng.choice(JOBS)}", *self.person()]
        if form < 0.72:
            return ["the school", *self.school()]
        return [f"the {self.rng.choice(JOBS)}"]

    def predicate(self) -> Parts:
        """A verb phrase, with a name in most cases."""
        goods = f"{self.rng.choice(('the', 'a'))} {self.rng.choice(WORDS)}"
        return self.rng.choice(
            (
                lambda: ["visited", *self.place()],
                lambda: [f"sent {goods} to", *self.place()],
                lambda: ["met", *self.person()],
                lambda: [f"showed {goods} to", *self.person()],
                lambda: ["worked for the school", *self.school()],
                lambda: ["sang the song", ("miscellaneous", self.one_or_two_words())],
                lambda: [f"brought {goods} home"],
            )
        )()


def conll2003(rng: random.Random, split: str) -> Draft:
    """Write one sentence with up to three names.

    Args:
        rng: source of randomness.
        split: "train", "dev" or "test": determines whether names that never occur in train rows are used.

    Returns:
        A row whose answer lists its entities (`kdrun.data.entities.serialize`).
    """
    writer = _SentenceWriter(rng, split)
    parts = [*writer.subject(), *writer.predicate(), rng.choice(("", "", *DAYS))]
    text = sentence(*(part if isinstance(part, str) else part[1] for part in parts))
    answer = serialize(part for part in parts if not isinstance(part, str))
    return Draft(text.replace(" ,", ","), None, 0, answer=answer)
