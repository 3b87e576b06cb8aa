"""Entities as text: serialize, parse, normalize and score.

A text lists the entities of a sentence in order, as `type: name; type: name`, without their positions. So entities are
scored per sentence as a multiset of (type, name): an entity that occurs twice must be predicted twice, and a predicted
name is also correct if the sentence contains the same words outside that entity. Scores are therefore at least the
span-level scores of CoNLL-2003's `conlleval`, and equal to them if no entity's words occur elsewhere in its sentence;
`is_ambiguous` finds the sentences where the two may differ.

Names are compared without case, accents and blanks: tokenizers drop the first two (BERT's uncased ones) and move the
third ("U.S." is decoded as "u. s."). One rule for all models makes their scores comparable.

This module does not import torch.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from kdrun.config.task import NO_ENTITY
from kdrun.errors import DataError

ENTITY_END, TYPE_END = ";", ":"
BLANKS = re.compile(r"\s+")

Entity = tuple[str, str]
"""Type and name."""

METRICS = ("entity_f1", "entity_precision", "entity_recall")


def serialize(entities: Iterable[Entity]) -> str:
    """Entities in sentence order as a text; `parse` is the exact inverse.

    Raises:
        DataError: a type or name cannot be parsed back: one with `;`, an empty one, or a type with `:`.
    """
    parts = []
    for entity_type, name in entities:
        if ENTITY_END in name + entity_type or TYPE_END in entity_type or not name.strip() or not entity_type.strip():
            raise DataError(f"the {entity_type or 'nameless'} {name!r} cannot be written as `type{TYPE_END} words`")
        parts.append(f"{entity_type}{TYPE_END} {name}")
    return f"{ENTITY_END} ".join(parts) or NO_ENTITY


def parse(text: str) -> list[Entity]:
    """The entities of any text, including a malformed model output.

    A part that is not `type: name` becomes an entity with an empty type. Such an entity counts as predicted and is
    never correct, as are entities with a type unknown to the task or with a name that the sentence does not contain.
    """
    if normalize(text) in ("", NO_ENTITY):
        return []
    entities = []
    for part in text.split(ENTITY_END):
        entity_type, colon, name = part.partition(TYPE_END)
        if part.strip():
            entities.append((entity_type.strip(), name.strip()) if colon else ("", part.strip()))
    return entities


def normalize(name: str) -> str:
    """A name as it is compared: without case, accents and blanks."""
    if name.isascii():
        return BLANKS.sub("", name.lower())
    letters = unicodedata.normalize("NFD", name.casefold())
    return BLANKS.sub("", "".join(letter for letter in letters if unicodedata.category(letter) != "Mn"))


def entity_counts(text: str) -> Counter[Entity]:
    """The normalized entities of a text with their number of occurrences."""
    return Counter((normalize(entity_type), normalize(name)) for entity_type, name in parse(text))


def count_matches(gold: str, predicted: str) -> tuple[int, int, int]:
    """The numbers of correct, predicted and gold entities of one sentence."""
    gold_counts, predicted_counts = entity_counts(gold), entity_counts(predicted)
    return (gold_counts & predicted_counts).total(), predicted_counts.total(), gold_counts.total()


def scores_from_counts(correct: float, predicted: float, gold: float) -> dict[str, float | None]:
    """Micro precision, recall and F1 = 2·correct / (predicted + gold) from sums over sentences.

    Returns:
        A value per name of `METRICS`; None for 0/0: no gold entity (recall), none predicted (precision), neither (F1).
    """
    return {
        "entity_f1": 2 * correct / (predicted + gold) if predicted + gold else None,
        "entity_precision": correct / predicted if predicted else None,
        "entity_recall": correct / gold if gold else None,
    }


def score(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, float | None]:
    """Micro F1, precision and recall of predicted texts, one per sentence; the values of `scores_from_counts`.

    Raises:
        ValueError: the sequences differ in length.
    """
    return scores_from_counts(*total_matches(gold, predicted))


def total_matches(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, int, int]:
    """Sums of `count_matches` over sentences: correct, predicted, gold.

    Raises:
        ValueError: the sequences differ in length.
    """
    counts = [count_matches(*pair) for pair in zip(gold, predicted, strict=True)]
    correct, num_predicted, num_gold = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
    return correct, num_predicted, num_gold


def matches_by_type(
    gold: Sequence[str], predicted: Sequence[str], types: Sequence[str]
) -> dict[str, tuple[int, int, int]]:
    """Sums of correct, predicted and gold entities per type of a task.

    Raises:
        ValueError: the sequences differ in length.
    """
    sums = {entity_type: [0, 0, 0] for entity_type in types}
    for gold_text, predicted_text in zip(gold, predicted, strict=True):
        gold_counts, predicted_counts = entity_counts(gold_text), entity_counts(predicted_text)
        for entity_type, totals in sums.items():
            for i, counts in enumerate((gold_counts & predicted_counts, predicted_counts, gold_counts)):
                totals[i] += sum(count for (name, _), count in counts.items() if name == normalize(entity_type))
    return {entity_type: (totals[0], totals[1], totals[2]) for entity_type, totals in sums.items()}


def is_ambiguous(words: Sequence[str], entities: Sequence[Entity]) -> bool:
    """Whether an entity's words occur in a sentence more often than the entity.

    Args:
        words: of the sentence.
        entities: its gold entities, with one blank between words.
    """
    sentence = [normalize(word) for word in words]
    counts = Counter((normalize(entity_type), name.lower()) for entity_type, name in entities)
    for (_, name), count in counts.items():
        pattern = [normalize(word) for word in name.split(" ")]
        starts = range(len(words) - len(pattern) + 1)
        if sum(sentence[i : i + len(pattern)] == pattern for i in starts) > count:
            return True
    return False


def count_unsupported(text: str, predicted: str) -> int:
    """The number of predicted entities whose name the sentence does not contain."""
    letters = normalize(text)
    return sum(normalize(name) not in letters for _, name in parse(predicted))


def same_entities(one: str, other: str) -> bool:
    """Whether two texts name the same entities, in any order."""
    return entity_counts(one) == entity_counts(other)


def num_different(one: str, other: str) -> int:
    """The number of entities that only one of two texts names."""
    first, second = entity_counts(one), entity_counts(other)
    return ((first - second) + (second - first)).total()


def restore_spelling(text: str, predicted: str) -> str:
    """A prediction with its names as the sentence spells them: `john smith` becomes `John Smith`, `u. s.` `U.S.`.

    Names that the sentence does not contain, and parts that are not entities, stay unchanged.
    """
    words = text.split(" ")
    parts = []
    for entity_type, name in parse(predicted):
        spelling = _in_sentence(words, normalize(name)) or name
        parts.append(f"{entity_type}{TYPE_END} {spelling}" if entity_type else spelling)
    return f"{ENTITY_END} ".join(parts) or NO_ENTITY


def _in_sentence(words: list[str], name: str) -> str:
    """The first words of a sentence whose normalized form is `name`; empty if there are none."""
    normalized = [normalize(word) for word in words]
    for start in range(len(words)):
        prefix = ""
        for end in range(start, len(words)):
            prefix += normalized[end]
            if prefix == name:
                return " ".join(words[start : end + 1])
            if not name.startswith(prefix):
                break
    return ""
