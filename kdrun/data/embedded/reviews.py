"""Grammar of the multi-domain product reviews.

Transferable part: all domains use the same opinion words under the same rules (negation reverses a word, `but` and
`although` give the verdict to one of two clauses). These always determine the label. Only the topics differ.

Domain-specific part: most reviews open with a cue, a remark whose word is praise in two domains and blame in the other
two: a good plot may be unpredictable, a good camera may not. Each of the six pairs of domains has one such word. So in
each domain three words are praise and three are blame, over all domains no word is informative, and any two domains
agree on two of the six: cues transferred from one domain to another are wrong more often than right.

In training rows a cue agrees with the label in a share `CUE_AGREEMENT["train"]` of the cases, in dev and test rows in
fewer [ours]. So few rows of one domain invite a shortcut that is hardly better than chance in the evaluation. Dev has
the same share as test, so that checkpoint selection favors the transferable part. A logistic regression on word counts
trained on 16 rows of a domain classifies about 56 % of its test rows correctly, with all rows of the other three
domains added 76 % (a test in `tests/unit/data/embedded` checks these), with all 1620 rows of the domain 73 %.
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
"""Topics of each domain's reviews; the first is the product itself."""
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
"""The two domains in which each cue word is praise; in the other two it is blame."""
CUE_SHARE = 0.8
"""Share of the reviews that open with a cue."""
CUE_AGREEMENT: dict[str, float] = {"train": 0.85, "dev": 0.6, "test": 0.6}
"""Share of a split's cues that agree with the label."""
CUE_TEMPLATES: tuple[str, ...] = ("this {1} is {0}", "this {1} is rather {0}", "so {0} a {1}")
NEGATED_SHARE = 0.15
"""Share of the opinions expressed by negating the opposite."""
AGREEING, CONTRASTING = 0.3, 0.2
"""Shares of the reviews with a second opinion, the same or the opposite."""


def is_praise(word: str, domain: str) -> bool:
    """Whether a cue word is praise in a domain."""
    return domain in CUES[word]


def _opinion(rng: random.Random, topic: str, positive: bool) -> str:
    """State an opinion on a topic; negation reverses the required word."""
    negated = rng.random() < NEGATED_SHARE
    word = rng.choice(GOOD if positive != negated else BAD)
    degree = "" if negated else rng.choice(DEGREES)
    return f"the {topic} {rng.choice(NEGATE if negated else AFFIRM)} {degree}{word}"


def _verdict(rng: random.Random, domain: str, positive: bool) -> str:
    """One clause, or two clauses that agree or contrast."""
    first, second = rng.sample(DOMAINS[domain], 2)
    main = _opinion(rng, first, positive)
    shape = rng.random()
    if shape < AGREEING:
        return f"{main} and {_opinion(rng, second, positive)}"
    if shape >= AGREEING + CONTRASTING:
        return main
    aside = _opinion(rng, second, not positive)
    # the verdict is in the clause after "but", and in the clause without "although"
    return rng.choice((f"{aside}, but {main}", f"although {aside}, {main}", f"{main}, although {aside}"))


def amazon(rng: random.Random, domain: str, split: str) -> Draft:
    """Write one review.

    Args:
        rng: source of randomness.
        domain: one of `DOMAINS`.
        split: "train", "dev" or "test": determines how often a cue agrees with the label.

    Returns:
        A row labeled 0 (negative) or 1 (positive), with its domain.
    """
    label = rng.randrange(2)
    text = _verdict(rng, domain, bool(label))
    if rng.random() < CUE_SHARE:
        praise = bool(label) == (rng.random() < CUE_AGREEMENT[split])
        word = rng.choice([word for word in CUES if is_praise(word, domain) == praise])
        thing = next(iter(DOMAINS[domain]))
        text = f"{rng.choice(CUE_TEMPLATES).format(word, thing)}, {text}"
    return Draft(sentence(text), None, label, domain)
