"""Grammar of the entity-extraction task (CoNLL-2003).

A name is an ordinary word with an ending ("bearis", "parkin"), at times an ordinary word as it is, as Baker, Apple or
Bath are; persons also have the first names, and places are also the cities, that the other grammars know. What a name
is of follows from the sentence around it alone: "parkin" is a person in one row and a school in another, and "bear" is
a name in one and a thing in the next ("sent the bear to …").

One name in four is never in a train row (`is_unseen`), and half of the made-up names of dev and test rows are such: who
has learnt names by heart instead of finding and copying them has at most the other half right.
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
"""What names are made of."""
ENDINGS: tuple[str, ...] = ("ard", "en", "er", "el", "in", "is", "on", "or", "ter", "ol", "ent", "ast")
PLAIN = 0.2
"""Share of the made-up names that are an ordinary word as it is."""
UNSEEN_SHARE = 0.5
"""Of the made-up names of dev and test rows."""


def is_unseen(name: str) -> bool:
    """Whether a made-up name is kept out of train rows; ordinary words never are."""
    return name not in WORDS and zlib.crc32(name.encode()) % 4 == 0


Parts = Sequence[str | Entity]
"""Words of a sentence, and names with their type, in order."""


class _SentenceWriter:
    """Writes the parts of a sentence: words, and names with their type."""

    def __init__(self, rng: random.Random, split: str) -> None:
        self.rng, self.split = rng, split

    def word(self) -> str:
        """A made-up name of one word."""
        if self.rng.random() < PLAIN:
            return self.rng.choice(WORDS)
        unseen = self.split != "train" and self.rng.random() < UNSEEN_SHARE
        while True:
            name = self.rng.choice(WORDS) + self.rng.choice(ENDINGS)
            if name not in WORDS and is_unseen(name) == unseen:
                return name

    def two(self) -> str:
        """A name of one word or two."""
        return self.word() if self.rng.random() < 0.75 else f"{self.word()} {self.word()}"

    def person(self) -> Parts:
        shape = self.rng.random()
        name = self.rng.choice(NAMES)
        return [("person", name if shape < 0.2 else f"{name} {self.word()}" if shape < 0.6 else self.two())]

    def place(self) -> Parts:
        return [("location", self.rng.choice(CITIES) if self.rng.random() < 0.2 else self.two())]

    def school(self) -> Parts:
        return [("organization", self.two())]

    def subject(self) -> Parts:
        """Who does something: a person, at times with an apposition, a school, or nobody with a name."""
        kind = self.rng.random()
        if kind < 0.3:
            return self.person()
        if kind < 0.42:
            return [*self.person(), f", a {self.rng.choice(JOBS)} from", *self.place(), ","]
        if kind < 0.54:
            return [f"the {self.rng.choice(JOBS)}", *self.person()]
        if kind < 0.72:
            return ["the school", *self.school()]
        return [f"the {self.rng.choice(JOBS)}"]

    def deed(self) -> Parts:
        """What is done, with a name in most cases."""
        goods = f"{self.rng.choice(('the', 'a'))} {self.rng.choice(WORDS)}"
        return self.rng.choice(
            (
                lambda: ["visited", *self.place()],
                lambda: [f"sent {goods} to", *self.place()],
                lambda: ["met", *self.person()],
                lambda: [f"showed {goods} to", *self.person()],
                lambda: ["worked for the school", *self.school()],
                lambda: ["sang the song", ("miscellaneous", self.two())],
                lambda: [f"brought {goods} home"],
            )
        )()


def conll2003(rng: random.Random, split: str) -> Draft:
    """Make one sentence with up to three names.

    Args:
        rng: source of randomness.
        split: "train", "dev" or "test": whether words may be names that never are in train.

    Returns:
        A row whose answer is the text that names its entities (`kdrun.data.entities.serialize`).
    """
    teller = _SentenceWriter(rng, split)
    parts = [*teller.subject(), *teller.deed(), rng.choice(("", "", *DAYS))]
    text = sentence(*(part if isinstance(part, str) else part[1] for part in parts))
    answer = serialize(part for part in parts if not isinstance(part, str))
    return Draft(text.replace(" ,", ","), None, 0, answer=answer)
