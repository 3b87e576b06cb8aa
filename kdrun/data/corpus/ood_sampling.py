"""Sample sentences and build sentence pairs in one pass over the corpus."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa

from kdrun import rng
from kdrun.data.corpus import sentences
from kdrun.data.corpus.corpora import UNKNOWN, Corpus
from kdrun.data.splits import SEPARATOR, TEXT_COLUMNS
from kdrun.errors import DataError

MAX_COUNTED_WORDS = 1_000_000
"""Most distinct words counted at a time; beyond that the rarer half is dropped."""

QUESTION_WORDS = ("what", "who", "when", "where", "why", "which", "how")
FULL_STOP = re.compile(r"[.!…]+([\"”’')\]]*)$")


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


@dataclass(frozen=True)
class OODRows:
    """Out-of-domain rows and how they were built.

    Attributes:
        table: `text`; for pairs also `text_pair` and `kind`.
        counts: number of rows of each sort.
        shortfall: the corpus' number of distinct rows of each sort with fewer than requested.
        num_sentences: number of usable sentences in the corpus, repeats included.
    """

    table: pa.Table
    counts: dict[str, int]
    shortfall: dict[str, int]
    num_sentences: int


class HashSample:
    """Bottom-k hash sample of a stream: a random sample without repeats.

    It holds the texts with the smallest hashes, keyed by seed and purpose. A repeated text has the same hash, so it
    counts once, and the order of the stream has no influence. (A plain reservoir would have to remember every text to
    recognize repeats.)
    """

    def __init__(self, size: int, seed: int, purpose: str) -> None:
        self.size = size
        self._key = rng.derive(seed, "ood", purpose).to_bytes(8, "big")
        self._limit = 1 << 64
        self._texts: dict[int, tuple[str, ...]] = {}

    def add(self, *texts: str) -> None:
        """Offer a text, or a pair of texts."""
        content = SEPARATOR.join(texts).encode()
        mark = int.from_bytes(hashlib.blake2b(content, digest_size=8, key=self._key).digest(), "big")
        if mark < self._limit:
            self._texts[mark] = texts
            # pruning rarely: each text is sorted only a few times in all
            if len(self._texts) > 2 * self.size + 1000:
                self._prune()

    def drawn(self) -> list[tuple[str, ...]]:
        """The sample in random order: `size` texts, or all if the stream had fewer."""
        self._prune()
        return list(self._texts.values())

    def _prune(self) -> None:
        marks = sorted(self._texts)
        if len(marks) > self.size:
            self._limit = marks[self.size]
        self._texts = {mark: self._texts[mark] for mark in marks[: self.size]}


@dataclass
class SentenceCollector:
    """Result of one pass over the corpus: a sample per purpose, word counts, the number of sentences."""

    samples: dict[str, HashSample]
    word_counts: Counter[str] = field(default_factory=Counter)
    num_sentences: int = 0


def collect_sentences(spec: OODSpec, corpus: Corpus, seed: int) -> SentenceCollector:
    """Read the corpus once. Memory grows with the number of requested rows, not with the corpus.

    Each sample is named after the sort of row it is for; `second` holds the second sentences of random pairs.
    """
    sizes = spec.rows_per_kind(spec.rows)
    if "random" in sizes:  # at least two: a sentence may be drawn for both sides
        sizes |= dict.fromkeys(("random", "second"), max(2, sizes["random"]))
    collector = SentenceCollector({name: HashSample(size, seed, name) for name, size in sizes.items()})
    edited, neighbors = collector.samples.get("edit"), collector.samples.get("neighbour")
    single = [sample for name, sample in collector.samples.items() if name not in ("edit", "neighbour")]
    for line in corpus.lines(keep_unknown=True):
        usable: list[str] = []
        for sentence in sentences.split_sentences(sentences.detokenize(line)):
            words = sentences.WORD.findall(sentence)
            if len(words) < spec.min_words or (UNKNOWN in sentence and not spec.keep_unknown):
                usable.append("")
                continue
            usable.append(sentence)
            collector.num_sentences += 1
            for sample in single:
                sample.add(sentence)
            if edited is not None:
                collector.word_counts.update(words)
                if len(words) >= spec.edit_words:
                    edited.add(sentence)
        if neighbors is not None:
            for first, second in pairwise(usable):
                if first and second and first != second:
                    neighbors.add(first, second)
        if len(collector.word_counts) > MAX_COUNTED_WORDS:
            collector.word_counts = Counter(dict(collector.word_counts.most_common(MAX_COUNTED_WORDS // 2)))
    return collector


def build_ood_rows(spec: OODSpec, corpus: Corpus, seed: int) -> OODRows:
    """The rows in random order: as many as requested, or as many as the corpus allows with all sorts in proportion.

    Raises:
        DataError: the corpus allows no row of some sort.
    """
    collector = collect_sentences(spec, corpus, seed)
    drawn = {name: sample.drawn() for name, sample in collector.samples.items()}
    requested = {name: count for name, count in spec.rows_per_kind(spec.rows).items() if count}
    # one sentence alone makes no pair
    available = {name: len(drawn[name]) - (name == "random" and len(drawn[name]) == 1) for name in requested}
    if not all(available.values()):
        counts_text = ", ".join(f"{count} {name}" for name, count in available.items())
        hint = "; if no line holds two sentences, set ood.neighbor=0" if available.get("neighbour") == 0 else ""
        raise DataError(
            f"the corpus {corpus.name} has {collector.num_sentences} sentences of at least {spec.min_words} words, "
            f"which give these rows: {counts_text}; set corpus.dir=PATH to another folder{hint}"
        )
    counts = spec.rows_per_kind(_max_rows(spec, available))
    shortfall = {name: count for name, count in available.items() if count < requested[name]}
    if spec.weights:
        return OODRows(_pairs(spec, collector, drawn, counts, seed), counts, shortfall, collector.num_sentences)
    draws = rng.numpy_stream(seed, "ood", "question")
    texts = [_with_questions(spec, text, draws)[0] for text in drawn["sentence"]]
    return OODRows(pa.table({TEXT_COLUMNS[0]: texts}), counts, shortfall, collector.num_sentences)


def _max_rows(spec: OODSpec, available: dict[str, int]) -> int:
    """The largest number of rows for which every sort's share is available."""
    total = sum(spec.weights.values())
    bounds = [(count + 1) * total / spec.weights[name] for name, count in available.items()] if spec.weights else []
    rows = int(min(spec.rows, *bounds, sum(available.values())))
    while any(count > available.get(name, 0) for name, count in spec.rows_per_kind(rows).items()):
        rows -= 1
    return rows


def _pairs(
    spec: OODSpec,
    collector: SentenceCollector,
    drawn: dict[str, list[tuple[str, ...]]],
    counts: dict[str, int],
    seed: int,
) -> pa.Table:
    """The three sorts of pairs, shuffled together."""
    rows: list[tuple[str, str, str]] = []
    for kind, count in counts.items():
        if kind == "edit":
            pairs = edited_pairs([text for (text,) in drawn[kind][:count]], spec, collector.word_counts, seed)
        elif kind == "random":
            # cut after pairing: in a small corpus both samples hold the same sentences
            pairs = random_pairs([text for (text,) in drawn[kind]], [text for (text,) in drawn["second"]])[:count]
        else:
            pairs = [(first, second) for first, second in drawn[kind][:count]]
        rows += [(first, second, kind) for first, second in pairs]
    order = rng.numpy_stream(seed, "ood", "order").permutation(len(rows)).tolist()
    draws = rng.numpy_stream(seed, "ood", "question")
    shuffled = [(*_with_questions(spec, (rows[i][0], rows[i][1]), draws), rows[i][2]) for i in order]
    return pa.table(dict(zip((*TEXT_COLUMNS, "kind"), map(list, zip(*shuffled, strict=True)), strict=True)))


def _with_questions(spec: OODSpec, texts: tuple[str, ...], draws: np.random.Generator) -> tuple[str, ...]:
    """The texts of a row with the question texts turned into questions; both with the same question word."""
    if not any(spec.questions):
        return texts
    word = QUESTION_WORDS[draws.integers(len(QUESTION_WORDS))]
    return tuple(
        as_question(text, word) if is_question else text
        for text, is_question in zip(texts, spec.questions, strict=True)
    )


def as_question(sentence: str, word: str) -> str:
    """A sentence with a question word in front and `?` at the end; a sentence with `?` stays unchanged. [ours]

    The result has the form of a question, not its grammar: `The town is in Kent.` → `Where the town is in Kent?`
    """
    if "?" in sentence[-2:]:
        return sentence
    body = FULL_STOP.sub(r"\1", sentence)
    if sentences.STARTER.match(body) and not body.startswith("I "):
        body = body[0].lower() + body[1:]
    return f"{word if sentence.islower() else word.capitalize()} {body}?"


def edited_pairs(texts: list[str], spec: OODSpec, word_counts: Counter[str], seed: int) -> list[tuple[str, str]]:
    """Each sentence and a copy with `spec.edit_words` words replaced; words differ by more than capitals."""
    # ties in alphabetical order, so that the order of the corpus has no influence
    ranked = sorted(word_counts.items(), key=lambda item: (-item[1], item[0]))
    frequent = [word for word, _ in ranked[: spec.frequent_words]]
    distinct = len({word.casefold() for word in frequent})
    if distinct < 2:
        raise DataError(f"replacing words needs two different words, the corpus has {distinct}")
    draws = rng.numpy_stream(seed, "ood", "edit")
    return [(text, _edit(text, spec.edit_words, frequent, draws)) for text in texts]


def _edit(text: str, count: int, frequent: list[str], draws: np.random.Generator) -> str:
    words = list(sentences.WORD.finditer(text))
    pieces, end = [], 0
    for i in sorted(draws.permutation(len(words))[:count].tolist()):
        pick = int(draws.integers(len(frequent)))
        while frequent[pick].casefold() == words[i].group().casefold():
            pick = (pick + 1) % len(frequent)
        pieces += [text[end : words[i].start()], frequent[pick]]
        end = words[i].end()
    return "".join([*pieces, text[end:]])


def random_pairs(firsts: list[str], seconds: list[str]) -> list[tuple[str, str]]:
    """Pairs from two lists of distinct sentences, never a sentence with itself."""
    seconds = list(seconds)
    for i, first in enumerate(firsts):
        if first == seconds[i]:  # the next second differs from this first, and this second from the next first
            j = (i + 1) % len(seconds)
            seconds[i], seconds[j] = seconds[j], seconds[i]
    return list(zip(firsts, seconds, strict=True))
