"""Sample the sentences of a corpus in one pass, in several processes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from kdrun import rng
from kdrun.data.corpus import sentences
from kdrun.data.corpus.cleaning import UNKNOWN
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.line_ranges import LineRange
from kdrun.data.splits import SEPARATOR

MAX_COUNTED_WORDS = 1_000_000
"""Most distinct words kept after a range; beyond that all but the most frequent half of this number are dropped."""


@dataclass(frozen=True)
class OODSpec:
    """Everything that determines the rows besides corpus and seed.

    Attributes:
        rows: number of rows.
        weights: weight of each sort of pair, all above 0; empty for single texts.
        questions: whether each text is a question.
        min_words: sentences with fewer words are dropped.
        keep_unknown: whether to keep sentences with `<unk>`.
        edit_words: number of words that an edit replaces; 0 without edited pairs.
        frequent_words: number of frequent words that replacements are drawn from; 0 without edited pairs.
    """

    rows: int
    weights: dict[str, float]
    questions: tuple[bool, ...]
    min_words: int
    keep_unknown: bool
    edit_words: int = 0
    frequent_words: int = 0

    def rows_per_kind(self, rows: int) -> dict[str, int]:
        """Number of rows of each sort: whole numbers that sum to `rows`, each within 1 of its share."""
        if not self.weights:
            return {"sentence": rows}
        ends = np.rint(np.cumsum(list(self.weights.values())) / sum(self.weights.values()) * rows).astype(int)
        return dict(zip(self.weights, np.diff(ends, prepend=0).tolist(), strict=True))


class HashSample:
    """Bottom-k hash sample of a stream: a random sample without repeats.

    It holds the texts with the smallest hashes, keyed by seed and purpose. A repeated text has the same hash, so it
    counts once, and the order of the stream has no influence. (A plain reservoir would have to remember every text to
    recognize repeats.)

    Attributes:
        size: most texts in the sample.
        limit: texts with this hash or a larger one are ignored.
    """

    def __init__(self, size: int, seed: int, purpose: str) -> None:
        self.size, self.limit = size, 1 << 64
        self._key = rng.derive(seed, "ood", purpose).to_bytes(8, "big")
        self._texts: dict[int, tuple[str, ...]] = {}

    def add(self, *texts: str) -> None:
        """Offer a text, or a pair of texts."""
        content = SEPARATOR.join(texts).encode()
        mark = int.from_bytes(hashlib.blake2b(content, digest_size=8, key=self._key).digest(), "big")
        self._keep(mark, texts)

    def merge(self, other: HashSample) -> None:
        """Offer the texts that are left of another sample of the same size, seed and purpose.

        The result is the sample of both streams.
        """
        for mark, texts in other._texts.items():
            self._keep(mark, texts)

    def drawn(self) -> list[tuple[str, ...]]:
        """The sample in random order: `size` texts, or all if the stream had fewer."""
        self.prune()
        return list(self._texts.values())

    def _keep(self, mark: int, texts: tuple[str, ...]) -> None:
        if mark < self.limit:
            self._texts[mark] = texts
            # pruning rarely: each text is sorted only a few times in all
            if len(self._texts) > 2 * self.size + 1000:
                self.prune()

    def prune(self) -> None:
        """Drop all but the `size` texts with the smallest hashes."""
        marks = sorted(self._texts)
        if len(marks) > self.size:
            self.limit = marks[self.size]
        self._texts = {mark: self._texts[mark] for mark in marks[: self.size]}


@dataclass
class SentenceCollector:
    """Result of one pass over the corpus: a sample per purpose, word counts, the numbers of sentences and lines."""

    samples: dict[str, HashSample]
    word_counts: Counter[str] = field(default_factory=Counter)
    num_sentences: int = 0
    num_lines: int = 0


@dataclass(frozen=True)
class SamplingTask:
    """A range to sample from.

    Attributes:
        lines: the range.
        spec: the rows to build.
        seed: of the run.
        limits: for each sample, the hash from which no text can be in it.
    """

    lines: LineRange
    spec: OODSpec
    seed: int
    limits: dict[str, int]


def collect_sentences(spec: OODSpec, corpus: Corpus, seed: int, processes: int | None = None) -> SentenceCollector:
    """Read the corpus once. Memory grows with the number of requested rows, not with the corpus.

    Each sample is named after the sort of row it is for; `second` holds the second sentences of random pairs. The
    number of processes has no influence on the result.
    """
    collector = _empty_collector(spec, seed)

    def tasks() -> Iterator[SamplingTask]:
        for lines in corpus.ranges():
            yield SamplingTask(lines, spec, seed, {name: sample.limit for name, sample in collector.samples.items()})

    for part in corpus.read_in_ranges(sample_range, tasks(), processes):
        for name, sample in collector.samples.items():
            sample.merge(part.samples[name])
        collector.num_sentences += part.num_sentences
        collector.num_lines += part.num_lines
        collector.word_counts.update(part.word_counts)
        # at the end of a range, so that the words do not depend on the number of processes
        if len(collector.word_counts) > MAX_COUNTED_WORDS:
            collector.word_counts = Counter(dict(collector.word_counts.most_common(MAX_COUNTED_WORDS // 2)))
    return collector


def _empty_collector(spec: OODSpec, seed: int) -> SentenceCollector:
    sizes = spec.rows_per_kind(spec.rows)
    if "random" in sizes:  # at least two: a sentence may be drawn for both sides
        sizes |= dict.fromkeys(("random", "second"), max(2, sizes["random"]))
    return SentenceCollector({name: HashSample(size, seed, name) for name, size in sizes.items()})


def sample_range(task: SamplingTask) -> SentenceCollector:
    """The samples of one range."""
    spec, collector = task.spec, _empty_collector(task.spec, task.seed)
    for name, sample in collector.samples.items():
        sample.limit = task.limits[name]
    edited, neighbors = collector.samples.get("edit"), collector.samples.get("neighbour")
    single = [sample for name, sample in collector.samples.items() if name not in ("edit", "neighbour")]
    for line in task.lines.lines():
        collector.num_lines += 1
        usable = _usable_sentences(line, spec)
        for sentence, words in usable:
            if not sentence:
                continue
            collector.num_sentences += 1
            for sample in single:
                sample.add(sentence)
            if edited is not None:
                collector.word_counts.update(words)
                if len(words) >= spec.edit_words:
                    edited.add(sentence)
        if neighbors is not None:
            for (first, _), (second, _) in pairwise(usable):
                if first and second and first != second:
                    neighbors.add(first, second)
    for sample in collector.samples.values():
        sample.prune()
    return collector


def _usable_sentences(line: str, spec: OODSpec) -> list[tuple[str, list[str]]]:
    """The sentences of a line with their words; an unusable sentence is empty."""
    usable = []
    for sentence in sentences.split_sentences(sentences.detokenize(line)):
        words = sentences.WORD.findall(sentence)
        dropped = len(words) < spec.min_words or (UNKNOWN in sentence and not spec.keep_unknown)
        usable.append(("", []) if dropped else (sentence, words))
    return usable
