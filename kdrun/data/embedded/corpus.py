"""Synthetic general text in the vocabulary of the embedded tasks.

Every sentence ends with a remark, a word that no task grammar uses, so that no corpus sentence is a task sentence. A
remark at the end keeps the other words at their usual positions, so that a teacher's labels of such text are
meaningful. Paragraphs restate their sentences: predicting a masked word rewards attention to the neighboring sentence.
The reviews of the task with domains come last, one paragraph per domain and the domains in turn, so that the text on
the other tasks does not depend on them.
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
"""Gives about as many sentences as on any other task."""
REMARKS: tuple[str, ...] = (
    "then", "later", "meanwhile", "afterwards", "perhaps", "again", "suddenly", "finally",
)  # fmt: skip
RESTATING: tuple[str, ...] = ("namely", "indeed", "hence", "thus")
# Labels (or lowest scores) of usable rows: sentences that agree with each other.
AGREEING: dict[str, float] = {
    "mrpc": 1, "qqp": 1, "stsb": 4, "mnli": ENTAILMENT, "qnli": 0, "rte": 0, "wnli": 1,
}  # fmt: skip


def _is_usable(task: str, draft: Draft) -> bool:
    """Whether a row is coherent prose and not reserved for dev splits."""
    if is_dev(draft):
        return False
    if task == "stsb":
        return draft.label >= AGREEING[task]
    if task == "sst2":
        return True
    return draft.label == AGREEING.get(task, 1)


def _draft(rng: random.Random, task: str) -> Draft:
    """Draw a usable row."""
    while True:
        # Both genres of mnli appear, so that the tokenizer learns their words.
        draft = mnli(rng, rng.randrange(2)) if task == "mnli" else MAKERS[task](rng)
        if _is_usable(task, draft):
            return draft


def _with_remark(text: str, remark: str) -> str:
    """The sentence with a remark before its full stop or question mark."""
    return f"{text[:-1]}, {remark}{text[-1]}"


def _paragraph(rng: random.Random) -> list[str]:
    """Write three to six sentences, in pairs on the same subject."""
    length = rng.randint(3, 6)
    sentences: list[str] = []
    while len(sentences) < length:
        draft = _draft(rng, rng.choice(tuple(MAKERS)))
        sentences.append(_with_remark(draft.text, rng.choice(REMARKS)))
        if draft.text_pair is not None:
            sentences.append(_with_remark(draft.text_pair, rng.choice(RESTATING)))
    return sentences[:length]


def _reviews(rng: random.Random, domain: str) -> list[str]:
    """Write three to six reviews of one domain; both verdicts are usable."""
    length = rng.randint(3, 6)
    sentences: list[str] = []
    while len(sentences) < length:
        draft = amazon(rng, domain, "dev")
        if not is_dev(draft):
            sentences.append(_with_remark(draft.text, rng.choice(REMARKS)))
    return sentences


@lru_cache(maxsize=1)
def corpus(seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """Generate the general corpus, once per process: a run reads it several times.

    Args:
        seed: Seed of the text.

    Returns:
        Paragraphs, each of three to six sentences.
    """
    rng = seeded_random("embedded", seed, "corpus")
    paragraphs = tuple(tuple(_paragraph(rng)) for _ in range(PARAGRAPHS))
    rng, domains = seeded_random("embedded", seed, "corpus", "reviews"), tuple(DOMAINS)
    return paragraphs + tuple(tuple(_reviews(rng, domains[i % len(domains)])) for i in range(REVIEW_PARAGRAPHS))
