"""Diversity, copying and class statistics of generated text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class GeneratedRow:
    """A row of generated text.

    Attributes:
        texts: one text, or two for a pair.
        source_texts: the texts that it was generated from.
        probabilities: the teacher's probability of every class, [classes].
        source: index of the source row.
        target_class: class that it was generated for; None for methods without target classes.
        answer: the teacher's answer; None for tasks that are answered with a class.
    """

    texts: tuple[str, ...]
    source_texts: tuple[str, ...]
    probabilities: np.ndarray
    source: int
    target_class: int | None = None
    answer: str | None = None

    @property
    def label(self) -> int:
        """The teacher's most probable class; the first one on ties."""
        return int(self.probabilities.argmax())


def words(text: str) -> list[str]:
    """Words and punctuation marks of a text in lower case, independent of tokenization: `Don't` → `don`, `'`, `t`."""
    return WORD.findall(text.casefold())


def ngrams(texts: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """All n-grams of words within each text; none spans two texts."""
    for text in texts:
        tokens = words(text)
        yield from (tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def copied(generated: Iterable[Any], source: Iterable[Any]) -> int:
    """Number of generated n-grams that also occur in the source, counted as multisets, in any order."""
    return (Counter(generated) & Counter(source)).total()


def normalized_entropy(shares: Sequence[float]) -> float:
    """Entropy of a distribution divided by its maximum: 1 for equal shares, 0 for a single class."""
    if len(shares) < 2:
        return 1.0
    return -sum(share * math.log(share) for share in shares if share) / math.log(len(shares)) + 0.0


@dataclass
class _Grams:
    """Running counts of n-grams of one length."""

    size: int
    total: int = 0
    copied: int = 0
    source_total: int = 0
    seen: set[tuple[str, ...]] = field(default_factory=set)
    source_seen: set[tuple[str, ...]] = field(default_factory=set)

    def add(self, row: GeneratedRow) -> None:
        generated, source = list(ngrams(row.texts, self.size)), list(ngrams(row.source_texts, self.size))
        self.total, self.source_total = self.total + len(generated), self.source_total + len(source)
        self.copied += copied(generated, source)
        self.seen.update(generated)
        self.source_seen.update(source)


def measure(rows: Iterable[GeneratedRow], labels: Sequence[str]) -> dict[str, Any]:
    """Statistics of generated text, in one pass over the rows.

    distinct_n is the number of different n-grams divided by the number of n-grams (Li et al. 2016, arXiv 1510.03055).
    It decreases with the length of text, so it is compared with that of the source rows, one per generated row.
    copied_n is the share of the generated n-grams that also occur in the source row. Rates are computed over all rows
    together; they are not means of per-row rates.

    Args:
        rows: at least one row.
        labels: names of the classes.

    Returns:
        rows; distinct_1, distinct_2, and the same of the source; copied_1, copied_2; unchanged (share of the rows with
        exactly the words of their source); words and source_words (per row); confidence (mean of the teacher's largest
        probability); classes (share of the rows by the teacher's class) and evenness; wanted (share of the rows by
        target class) and agreement (share of the rows whose teacher's class is the target class). None for a rate
        without a denominator, and for wanted without target classes.

    Raises:
        ValueError: there are no rows.
    """
    grams = (_Grams(1), _Grams(2))
    count = unchanged = agreed = 0
    confidence, classes, targets = 0.0, np.zeros(len(labels), int), np.zeros(len(labels), int)
    for row in rows:
        count += 1
        for counts in grams:
            counts.add(row)
        unchanged += [words(text) for text in row.texts] == [words(text) for text in row.source_texts]
        confidence += float(row.probabilities.max())
        classes[row.label] += 1
        if row.target_class is not None:
            targets[row.target_class] += 1
            agreed += row.target_class == row.label
    if not count:
        raise ValueError("there are no rows to measure")
    (single, double), requested = grams, int(targets.sum())
    shares = (classes / count).tolist()
    return {
        "rows": count,
        "distinct_1": _ratio(len(single.seen), single.total),
        "distinct_2": _ratio(len(double.seen), double.total),
        "source_distinct_1": _ratio(len(single.source_seen), single.source_total),
        "source_distinct_2": _ratio(len(double.source_seen), double.source_total),
        "copied_1": _ratio(single.copied, single.total),
        "copied_2": _ratio(double.copied, double.total),
        "unchanged": unchanged / count,
        "words": single.total / count,
        "source_words": single.source_total / count,
        "confidence": confidence / count,
        "agreement": _ratio(agreed, requested),
        "classes": dict(zip(labels, shares, strict=True)),
        "wanted": dict(zip(labels, (targets / requested).tolist(), strict=True)) if requested else None,
        "evenness": normalized_entropy(shares),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
