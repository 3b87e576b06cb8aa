"""Grammar of the multi-domain product reviews.

What carries over: every domain says what it thinks with the same opinion words under the same rules (negation turns a
word round, `but` and `although` hand the verdict to one of two clauses); they decide the label, always. Only what is
talked about differs.

What does not: most reviews open with a remark whose word is praise in two domains and blame in the other two, as a
plot may well be unpredictable and a camera may not. Each of the six pairs of domains has one such word. So three speak
for and three against in a domain, over all domains none says anything, and any two domains agree on two of the six:
whoever carries remarks from one domain to another is wrong more often than right.

In the training rows a remark goes with the label in `LEAN["train"]` of the cases, in dev and test rows in fewer [ours]:
few rows of one domain tempt to lean on it, as a shortcut does, and whoever does so is little better than a guess where
it is scored. Dev has the same share as test, so that the checkpoint is chosen by what carries over. A logistic
regression on word counts that learns from 16 rows of a domain has about 56 % of its test rows right, with all rows of
the other three domains beside them 76 % (`tests/data/test_embedded.py` holds that), with all 1620 of its own 73 %.
"""

from __future__ import annotations

import random

from kdrun.data.embedded.lexicon import Draft, sentence

DOMAINS: dict[str, tuple[str, ...]] = {
    "books": ("book", "novel", "story", "author", "chapter", "writing", "heroine", "cover"),
    "dvd": ("film", "movie", "acting", "director", "script", "cast", "soundtrack", "scene"),
    "electronics": ("camera", "battery", "screen", "radio", "cable", "phone", "speaker", "charger"),
    "kitchen": ("pan", "knife", "blender", "kettle", "oven", "toaster", "bowl", "grinder"),
}
"""Domain → what its reviews talk about; the first is what they are of."""
GOOD: tuple[str, ...] = (
    "great", "superb", "lovely", "brilliant", "excellent", "wonderful", "perfect", "splendid", "pleasant", "solid",
    "smart", "elegant",
)  # fmt: skip
BAD: tuple[str, ...] = (
    "awful", "terrible", "poor", "useless", "dreadful", "dull", "weak", "messy", "ugly", "clumsy",
    "lame", "disappointing",
)  # fmt: skip
DEGREES: tuple[str, ...] = ("", "", "", "very ", "really ", "quite ")
AFFIRM: tuple[str, ...] = ("is", "was", "seems", "is truly")
NEGATE: tuple[str, ...] = ("is not", "was never", "is far from")
CUES: dict[str, tuple[str, str]] = {
    "unpredictable": ("books", "dvd"),
    "long": ("books", "electronics"),
    "heavy": ("books", "kitchen"),
    "loud": ("dvd", "electronics"),
    "hot": ("dvd", "kitchen"),
    "simple": ("electronics", "kitchen"),
}
"""Word of a remark → the two domains in which it is praise; in the other two it is blame."""
CUED = 0.8
"""Share of the reviews that open with a remark."""
LEAN: dict[str, float] = {"train": 0.85, "dev": 0.6, "test": 0.6}
"""Share of a split's remarks that go with the label."""
REMARK: tuple[str, ...] = ("this {1} is {0}", "this {1} is rather {0}", "so {0} a {1}")
NEGATED = 0.15
"""Share of the opinions that are said by negating the opposite."""
AGREEING, CONTRASTING = 0.3, 0.2
"""Shares of the reviews with a second opinion, the same or the opposite."""


def is_praise(word: str, domain: str) -> bool:
    """Whether the word of a remark is good in a domain."""
    return domain in CUES[word]


def _opinion(rng: random.Random, topic: str, positive: bool) -> str:
    """Say something about a topic; negation reverses the word that must be used."""
    negated = rng.random() < NEGATED
    word = rng.choice(GOOD if positive != negated else BAD)
    degree = "" if negated else rng.choice(DEGREES)
    return f"the {topic} {rng.choice(NEGATE if negated else AFFIRM)} {degree}{word}"


def _verdict(rng: random.Random, domain: str, positive: bool) -> str:
    """One clause, or two that agree or contrast."""
    first, second = rng.sample(DOMAINS[domain], 2)
    main = _opinion(rng, first, positive)
    shape = rng.random()
    if shape < AGREEING:
        return f"{main} and {_opinion(rng, second, positive)}"
    if shape >= AGREEING + CONTRASTING:
        return main
    aside = _opinion(rng, second, not positive)
    # "but" hands the verdict to the clause after it, "although" to the clause without it
    return rng.choice((f"{aside}, but {main}", f"although {aside}, {main}", f"{main}, although {aside}"))


def amazon(rng: random.Random, domain: str, split: str) -> Draft:
    """Make one review.

    Args:
        rng: source of randomness.
        domain: one of `DOMAINS`.
        split: "train", "dev" or "test": how often a remark goes with the label.

    Returns:
        A row labelled 0 (negative) or 1 (positive), with its domain.
    """
    label = rng.randrange(2)
    text = _verdict(rng, domain, bool(label))
    if rng.random() < CUED:
        praise = bool(label) == (rng.random() < LEAN[split])
        word = rng.choice([word for word in CUES if is_praise(word, domain) == praise])
        thing = next(iter(DOMAINS[domain]))
        text = f"{rng.choice(REMARK).format(word, thing)}, {text}"
    return Draft(sentence(text), None, label, domain)
