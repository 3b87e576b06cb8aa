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
        source_texts: the texts that it was made of.
        probabilities: the teacher's of every class, [classes].
        source: number of the row that it was made of.
        wanted: the class that it was to be of; None where the method asks for none.
        answer: what the teacher writes of it; None of a task that is answered with a class.
    """

    texts: tuple[str, ...]
    source_texts: tuple[str, ...]
    probabilities: np.ndarray
    source: int
    wanted: int | None = None
    answer: str | None = None

    @property
    def label(self) -> int:
        """The teacher's most probable class; the first of equals."""
        return int(self.probabilities.argmax())


def words(text: str) -> list[str]:
    """The words and the single signs of a text in lower case, however it was tokenised: `Don't` → `don`, `'`, `t`."""
    return WORD.findall(text.casefold())


def ngrams(texts: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """All runs of `n` words of each text; none reaches from one text into the other."""
    for text in texts:
        found = words(text)
        yield from (tuple(found[i : i + n]) for i in range(len(found) - n + 1))


def copied(made: Iterable[Any], source: Iterable[Any]) -> int:
    """How many of the made n-grams the source has too; one that it has once counts once. The order plays no part."""
    return (Counter(made) & Counter(source)).total()


def normalized_entropy(shares: Sequence[float]) -> float:
    """Entropy of a distribution as a share of the largest possible: 1 when all classes are alike, 0 with one class."""
    if len(shares) < 2:
        return 1.0
    return -sum(share * math.log(share) for share in shares if share) / math.log(len(shares)) + 0.0


@dataclass
class _Grams:
    """N-grams of one length, as they come."""

    size: int
    total: int = 0
    copied: int = 0
    source_total: int = 0
    seen: set[tuple[str, ...]] = field(default_factory=set)
    source_seen: set[tuple[str, ...]] = field(default_factory=set)

    def add(self, row: GeneratedRow) -> None:
        made, source = list(ngrams(row.texts, self.size)), list(ngrams(row.source_texts, self.size))
        self.total, self.source_total = self.total + len(made), self.source_total + len(source)
        self.copied += copied(made, source)
        self.seen.update(made)
        self.source_seen.update(source)


def measure(rows: Iterable[GeneratedRow], labels: Sequence[str]) -> dict[str, Any]:
    """The figures of generated text. Reads the rows once.

    distinct_n is the number of different n-grams divided by the number of n-grams (Li et al. 2016, arXiv 1510.03055):
    it falls as text gets longer, so it is held against that of the source rows, one for each made row. copied_n is the
    share of the made n-grams that the source row has too. Rates are over all rows together, not means of rows' rates.

    Args:
        rows: any number of rows, at least one.
        labels: names of the classes.

    Returns:
        rows; distinct_1, distinct_2, and the same of the source; copied_1, copied_2; unchanged (share of the rows with
        just the words of their source); words and source_words (a row); confidence (mean of the teacher's largest
        probability); classes (share of the rows by the teacher's class) and evenness; wanted (share of the rows by the
        class asked for) and agreement (share of the rows whose teacher's class is that). None where there is nothing to
        divide by, or no class was asked for.

    Raises:
        ValueError: there are no rows.
    """
    grams = (_Grams(1), _Grams(2))
    count = unchanged = agreed = 0
    confidence, classes, wanted = 0.0, np.zeros(len(labels), int), np.zeros(len(labels), int)
    for row in rows:
        count += 1
        for each in grams:
            each.add(row)
        unchanged += [words(text) for text in row.texts] == [words(text) for text in row.source_texts]
        confidence += float(row.probabilities.max())
        classes[row.label] += 1
        if row.wanted is not None:
            wanted[row.wanted] += 1
            agreed += row.wanted == row.label
    if not count:
        raise ValueError("there are no rows to measure")
    single, double = grams
    asked = int(wanted.sum())
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
        "agreement": _ratio(agreed, asked),
        "classes": dict(zip(labels, shares, strict=True)),
        "wanted": dict(zip(labels, (wanted / asked).tolist(), strict=True)) if asked else None,
        "evenness": normalized_entropy(shares),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
