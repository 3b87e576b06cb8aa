"""Grammar of the free-text task: an active sentence, rewritten in the passive.

The answer has the words of the sentence in another order, with the participle of the verb. All words are frequent.
"""

from __future__ import annotations

import random

from kdrun.data.embedded.lexicon import DAYS, NAMES, Draft, sentence
from kdrun.data.embedded.ner import JOBS

VERBS: dict[str, str] = {
    "broke": "broken", "bought": "bought", "cleaned": "cleaned", "drew": "drawn", "found": "found", "hid": "hidden",
    "lost": "lost", "moved": "moved", "sold": "sold", "stole": "stolen", "took": "taken", "washed": "washed",
}  # fmt: skip
"""Past tense → participle."""
ADJECTIVES: tuple[str, ...] = ("", "", "old", "big", "small", "heavy", "clean", "fake")
THINGS: tuple[str, ...] = (
    "bag", "basket", "book", "box", "bowl", "camera", "chair", "coat", "lamp", "letter", "map", "phone", "ring", "vase",
)  # fmt: skip


def passive(rng: random.Random, split: str) -> Draft:
    """Write one sentence, and its passive as the answer.

    Args:
        rng: source of randomness.
        split: without influence; the splits have different sentences.
    """
    del split
    agent = rng.choice((*NAMES, *(f"the {job}" for job in JOBS)))
    verb, when = rng.choice(tuple(VERBS)), rng.choice(("", "", *DAYS))
    thing = " ".join(filter(None, ("the", rng.choice(ADJECTIVES), rng.choice(THINGS))))
    return Draft(
        sentence(agent, verb, thing, when), None, 0, answer=sentence(thing, "was", VERBS[verb], "by", agent, when)
    )
