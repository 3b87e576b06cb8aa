"""Entities as text: serialize, parse, normalize and score.

A text says which entities a sentence has, in the order they stand there, not where. So entities are compared as a
multiset of (type, words) a sentence: a name that stands there twice must be said twice, and a name that is said where
the sentence has the same words without their being that entity counts as right. Scores are therefore never below the
span-level ones of CoNLL-2003's `conlleval`, and equal to them wherever no words of an entity stand elsewhere in its
sentence too; `doubtful` counts the sentences where they may differ.

Words are compared without case, accents and blanks: tokenizers drop the first two (BERT's uncased ones) and move the
third ("U.S." comes back as "u. s."), and one rule for all makes the scores of different models comparable.

Nothing here imports torch.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from kdrun.config.task import NO_ENTITY
from kdrun.errors import DataError

BETWEEN, AFTER_TYPE = ";", ":"
BLANKS = re.compile(r"\s+")

Entity = tuple[str, str]
"""Type and words."""

METRICS = ("entity_f1", "entity_precision", "entity_recall")


def write(entities: Iterable[Entity]) -> str:
    """Entities in the order they stand in the sentence, as a text; `read` is its exact inverse.

    Raises:
        DataError: a type or words that the text could not be read back from: with `;`, empty, or a type with `:`.
    """
    parts = []
    for kind, words in entities:
        if BETWEEN in words + kind or AFTER_TYPE in kind or not words.strip() or not kind.strip():
            raise DataError(f"the {kind or 'nameless'} {words!r} cannot be written as `type{AFTER_TYPE} words`")
        parts.append(f"{kind}{AFTER_TYPE} {words}")
    return f"{BETWEEN} ".join(parts) or NO_ENTITY


def read(text: str) -> list[Entity]:
    """The entities of a text, whatever a model may have written.

    What is no `type: words` becomes an entity of the empty type, so that it counts as said and is never right; so do
    types that the task does not have and words that the sentence does not have, by themselves.
    """
    if normalize(text) in ("", NO_ENTITY):
        return []
    found = []
    for part in text.split(BETWEEN):
        kind, colon, words = part.partition(AFTER_TYPE)
        if part.strip():
            found.append((kind.strip(), words.strip()) if colon else ("", part.strip()))
    return found


def normalize(words: str) -> str:
    """Words as they are compared: without case, accents and blanks."""
    if words.isascii():
        return BLANKS.sub("", words.lower())
    letters = unicodedata.normalize("NFD", words.casefold())
    return BLANKS.sub("", "".join(letter for letter in letters if unicodedata.category(letter) != "Mn"))


def entity_counts(text: str) -> Counter[Entity]:
    """The entities of a text as they are compared, with how often each is said."""
    return Counter((normalize(kind), normalize(words)) for kind, words in read(text))


def counts(gold: str, said: str) -> tuple[int, int, int]:
    """Of one sentence: entities that are right, that were said, that there are."""
    there, found = entity_counts(gold), entity_counts(said)
    return (there & found).total(), found.total(), there.total()


def from_counts(right: float, said: float, there: float) -> dict[str, float | None]:
    """Micro precision, recall and F1 = 2·right / (said + there) from sums over sentences.

    Returns:
        A value per name of `METRICS`; None where it is 0/0: no entity there (recall), said (precision), neither (F1).
    """
    return {
        "entity_f1": 2 * right / (said + there) if said + there else None,
        "entity_precision": right / said if said else None,
        "entity_recall": right / there if there else None,
    }


def score(gold: Sequence[str], said: Sequence[str]) -> dict[str, float | None]:
    """Micro F1, precision and recall of texts against gold texts, one a sentence; values as `from_counts` gives them.

    Raises:
        ValueError: they are not equally many.
    """
    return from_counts(*totals(gold, said))


def totals(gold: Sequence[str], said: Sequence[str]) -> tuple[int, int, int]:
    """Sums of `counts` over sentences: right, said, there.

    Raises:
        ValueError: they are not equally many.
    """
    each = [counts(*pair) for pair in zip(gold, said, strict=True)]
    right, found, there = (sum(column) for column in zip(*each, strict=True)) if each else (0, 0, 0)
    return right, found, there


def by_type(gold: Sequence[str], said: Sequence[str], types: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Sums of right, said, there for each type of a task.

    Raises:
        ValueError: they are not equally many.
    """
    sums = {kind: [0, 0, 0] for kind in types}
    for there, found in ((entity_counts(g), entity_counts(s)) for g, s in zip(gold, said, strict=True)):
        for kind, own in sums.items():
            for place, part in enumerate((there & found, found, there)):
                own[place] += sum(number for (name, _), number in part.items() if name == normalize(kind))
    return {kind: (right, found, there) for kind, (right, found, there) in sums.items()}


def is_ambiguous(words: Sequence[str], entities: Sequence[Entity]) -> bool:
    """Whether the words of an entity stand in the sentence more often than they are that entity.

    Args:
        words: of the sentence.
        entities: its gold entities, words joined by one blank.
    """
    sentence = [normalize(word) for word in words]
    for (_, named), number in Counter((normalize(kind), named.lower()) for kind, named in entities).items():
        wanted = [normalize(word) for word in named.split(" ")]
        places = range(len(words) - len(wanted) + 1)
        if sum(sentence[i : i + len(wanted)] == wanted for i in places) > number:
            return True
    return False


def count_unsupported(text: str, said: str) -> int:
    """How many entities of an answer have words that the sentence does not have."""
    there = normalize(text)
    return sum(normalize(words) not in there for _, words in read(said))


def same(one: str, other: str) -> bool:
    """Whether two texts name the same entities, in whatever order."""
    return entity_counts(one) == entity_counts(other)


def num_different(one: str, other: str) -> int:
    """How many entities only one of two texts names."""
    return ((entity_counts(one) - entity_counts(other)) + (entity_counts(other) - entity_counts(one))).total()


def restore_spelling(text: str, said: str) -> str:
    """An answer with its words as the sentence spells them: `john smith` becomes `John Smith`, `u. s.` `U.S.`.

    Words that the sentence does not have, and pieces that are no entity, stay as they were said.
    """
    words = text.split(" ")
    parts = []
    for kind, named in read(said):
        shown = _in_sentence(words, normalize(named)) or named
        parts.append(f"{kind}{AFTER_TYPE} {shown}" if kind else shown)
    return f"{BETWEEN} ".join(parts) or NO_ENTITY


def _in_sentence(words: list[str], wanted: str) -> str:
    """The first words that come to `wanted` when they are compared; empty where there are none."""
    known = [normalize(word) for word in words]
    for start in range(len(words)):
        found = ""
        for end in range(start, len(words)):
            found += known[end]
            if found == wanted:
                return " ".join(words[start : end + 1])
            if not wanted.startswith(found):
                break
    return ""
