"""Synthetic general text in the vocabulary of the embedded tasks.

Every sentence ends with a remark, a word that no task grammar uses, so no corpus sentence can be a task
sentence; and one at the end, unlike one at the beginning, leaves the rest where a model has learnt to expect it, so
that a teacher's labels of such text mean something. Paragraphs restate what they say: predicting a masked word rewards
looking it up in the neighbouring sentence. The reviews of the task with domains stand after all else, a paragraph a
domain and the domains in turn, so that what is told of the other tasks does not hang on them.
"""

from __future__ import annotations

import random
from functools import lru_cache

from kdrun.data.embedded.generate import MAKERS, is_dev, seeded_random
from kdrun.data.embedded.lexicon import Draft
from kdrun.data.embedded.nli import ENTAILMENT, mnli
from kdrun.data.embedded.reviews import DOMAINS, amazon

PARAGRAPHS = 10000
REVIEW_PARAGRAPHS = 800
"""As many sentences as are told of another task."""
REMARKS: tuple[str, ...] = (
    "then", "later", "meanwhile", "afterwards", "perhaps", "again", "suddenly", "finally",
)  # fmt: skip
RESTATING: tuple[str, ...] = ("namely", "indeed", "hence", "thus")
# Labels (or least scores) of the rows worth telling: sentences that agree with each other.
AGREEING: dict[str, float] = {
    "mrpc": 1, "qqp": 1, "stsb": 4, "mnli": ENTAILMENT, "qnli": 0, "rte": 0, "wnli": 1,
}  # fmt: skip


def _tellable(task: str, draft: Draft) -> bool:
    """Tell whether a row makes sound prose and is kept out of the dev splits."""
    if is_dev(draft):
        return False
    if task == "stsb":
        return draft.label >= AGREEING[task]
    if task == "sst2":
        return True
    return draft.label == AGREEING.get(task, 1)


def _draft(rng: random.Random, task: str) -> Draft:
    """Draw a row worth telling."""
    while True:
        # Both genres of mnli are told, so that their words are known to the tokenizer.
        draft = mnli(rng, rng.randrange(2)) if task == "mnli" else MAKERS[task](rng)
        if _tellable(task, draft):
            return draft


def _with_remark(text: str, remark: str) -> str:
    """The sentence with a remark before its full stop or question mark."""
    return f"{text[:-1]}, {remark}{text[-1]}"


def _paragraph(rng: random.Random) -> list[str]:
    """Make three to six sentences, pairs of them about the same matter."""
    length = rng.randint(3, 6)
    sentences: list[str] = []
    while len(sentences) < length:
        draft = _draft(rng, rng.choice(tuple(MAKERS)))
        sentences.append(_with_remark(draft.text, rng.choice(REMARKS)))
        if draft.text_pair is not None:
            sentences.append(_with_remark(draft.text_pair, rng.choice(RESTATING)))
    return sentences[:length]


def _reviews(rng: random.Random, domain: str) -> list[str]:
    """Make three to six reviews of one domain; both verdicts are worth telling."""
    length = rng.randint(3, 6)
    sentences: list[str] = []
    while len(sentences) < length:
        draft = amazon(rng, domain, "dev")
        if not is_dev(draft):
            sentences.append(_with_remark(draft.text, rng.choice(REMARKS)))
    return sentences


@lru_cache(maxsize=1)
def corpus(seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """Make the general corpus. It is kept: a run asks for it several times, and making it takes longer than reading it.

    Args:
        seed: Seed of the text.

    Returns:
        Paragraphs, each of three to six sentences.
    """
    rng = seeded_random("embedded", seed, "corpus")
    told = tuple(tuple(_paragraph(rng)) for _ in range(PARAGRAPHS))
    rng, domains = seeded_random("embedded", seed, "corpus", "reviews"), tuple(DOMAINS)
    return told + tuple(tuple(_reviews(rng, domains[i % len(domains)])) for i in range(REVIEW_PARAGRAPHS))
