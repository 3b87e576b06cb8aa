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

COUNTED_WORDS = 1_000_000
"""Different words counted at a time: when there are more, the rarer half is forgotten."""

QUESTION_WORDS = ("what", "who", "when", "where", "why", "which", "how")
FULL_STOP = re.compile(r"[.!…]+([\"”’')\]]*)$")


@dataclass(frozen=True)
class OODSpec:
    """All that decides the rows beside corpus and seed.

    Attributes:
        rows: how many are wanted.
        weights: of the kinds of pairs, none of them 0; empty for single texts.
        questions: which texts are questions.
        min_words: shorter sentences are dropped.
        keep_unknown: whether sentences with `<unk>` stay.
        edit_words: how many words an edit replaces; 0 where there are no edits.
        frequent_words: how many words the replacements are drawn from, likewise.
    """

    rows: int
    weights: dict[str, float]
    questions: tuple[bool, ...]
    min_words: int
    keep_unknown: bool
    edit_words: int = 0
    frequent_words: int = 0

    def rows_per_kind(self, rows: int) -> dict[str, int]:
        """How many of so many rows are of each kind: whole numbers that sum to `rows`, each within 1 of its share."""
        if not self.weights:
            return {"sentence": rows}
        ends = np.rint(np.cumsum(list(self.weights.values())) / sum(self.weights.values()) * rows).astype(int)
        return dict(zip(self.weights, np.diff(ends, prepend=0).tolist(), strict=True))


@dataclass(frozen=True)
class OODRows:
    """The rows and how they came about.

    Attributes:
        table: `text`; for pairs `text_pair` and `kind` too.
        counts: rows by kind.
        short: what the corpus has of each kind of which it has fewer than wanted, without repeats.
        sentences: how many sentences fit to be used there were, repeats counted.
    """

    table: pa.Table
    counts: dict[str, int]
    short: dict[str, int]
    sentences: int


class HashSample:
    """A random sample of a stream without repeats: the texts with the smallest hashes, keyed by seed and purpose.

    A text that comes twice has one hash, so it counts once, and the order of the stream plays no part. (Bottom-k
    sampling; a plain reservoir would have to remember every text to know a repeat.)
    """

    def __init__(self, size: int, seed: int, purpose: str) -> None:
        self.size = size
        self._key = rng.derive(seed, "ood", purpose).to_bytes(8, "big")
        self._limit = 1 << 64
        self._kept: dict[int, tuple[str, ...]] = {}

    def add(self, *texts: str) -> None:
        """Offer a text, or two that belong together."""
        content = SEPARATOR.join(texts).encode()
        mark = int.from_bytes(hashlib.blake2b(content, digest_size=8, key=self._key).digest(), "big")
        if mark < self._limit:
            self._kept[mark] = texts
            # pruned now and then: each text is sorted a few times in all
            if len(self._kept) > 2 * self.size + 1000:
                self._prune()

    def drawn(self) -> list[tuple[str, ...]]:
        """What was drawn, in random order: `size` of it, or all there was."""
        self._prune()
        return list(self._kept.values())

    def _prune(self) -> None:
        marks = sorted(self._kept)
        if len(marks) > self.size:
            self._limit = marks[self.size]
        self._kept = {mark: self._kept[mark] for mark in marks[: self.size]}


@dataclass
class SentenceCollector:
    """What one pass over the corpus leaves: samples by purpose, how often each word came, the number of sentences."""

    samples: dict[str, HashSample]
    word_counts: Counter[str] = field(default_factory=Counter)
    num_sentences: int = 0


def collect_sentences(plan: OODSpec, corpus: Corpus, seed: int) -> SentenceCollector:
    """Read the corpus once. Memory grows with the rows wanted, not with the corpus.

    Samples are called after the kind of row they are for; `second` holds the other sentences of random pairs.
    """
    sizes = plan.rows_per_kind(plan.rows)
    if "random" in sizes:  # two at least: a sentence may be drawn for both sides
        sizes |= dict.fromkeys(("random", "second"), max(2, sizes["random"]))
    made = SentenceCollector({name: HashSample(size, seed, name) for name, size in sizes.items()})
    edited, neighbours = made.samples.get("edit"), made.samples.get("neighbour")
    alone = [sample for name, sample in made.samples.items() if name not in ("edit", "neighbour")]
    for line in corpus.lines(keep_unknown=True):
        kept: list[str] = []
        for sentence in sentences.split_sentences(sentences.detokenize(line)):
            words = sentences.WORD.findall(sentence)
            if len(words) < plan.min_words or (UNKNOWN in sentence and not plan.keep_unknown):
                kept.append("")
                continue
            kept.append(sentence)
            made.num_sentences += 1
            for each in alone:
                each.add(sentence)
            if edited is not None:
                made.word_counts.update(words)
                if len(words) >= plan.edit_words:
                    edited.add(sentence)
        if neighbours is not None:
            for first, second in pairwise(kept):
                if first and second and first != second:
                    neighbours.add(first, second)
        if len(made.word_counts) > COUNTED_WORDS:
            made.word_counts = Counter(dict(made.word_counts.most_common(COUNTED_WORDS // 2)))
    return made


def build_ood_rows(plan: OODSpec, corpus: Corpus, seed: int) -> OODRows:
    """The rows in random order: as many as are wanted, or as the corpus gives with the kinds in proportion.

    Raises:
        DataError: it gives none of a kind.
    """
    made = collect_sentences(plan, corpus, seed)
    drawn = {name: each.drawn() for name, each in made.samples.items()}
    wanted = {name: count for name, count in plan.rows_per_kind(plan.rows).items() if count}
    # one sentence has no other to stand beside
    there = {name: len(drawn[name]) - (name == "random" and len(drawn[name]) == 1) for name in wanted}
    if not all(there.values()):
        shown = ", ".join(f"{count} {name}" for name, count in there.items())
        hint = "; where no line holds two sentences, set ood.neighbor=0" if there.get("neighbour") == 0 else ""
        raise DataError(
            f"the corpus {corpus.name} has {made.num_sentences} sentences of {plan.min_words} words or more, which give "
            f"these rows: {shown}; give corpus.dir=PATH another folder{hint}"
        )
    counts = plan.rows_per_kind(_fitting(plan, there))
    short = {name: count for name, count in there.items() if count < wanted[name]}
    if plan.weights:
        return OODRows(_pairs(plan, made, drawn, counts, seed), counts, short, made.num_sentences)
    draws = rng.numpy_stream(seed, "ood", "question")
    texts = [_as_asked(plan, text, draws)[0] for text in drawn["sentence"]]
    return OODRows(pa.table({TEXT_COLUMNS[0]: texts}), counts, short, made.num_sentences)


def _fitting(plan: OODSpec, there: dict[str, int]) -> int:
    """The most rows whose shares are there."""
    total = sum(plan.weights.values())
    bounds = [(count + 1) * total / plan.weights[name] for name, count in there.items()] if plan.weights else []
    rows = int(min(plan.rows, *bounds, sum(there.values())))
    while any(count > there.get(name, 0) for name, count in plan.rows_per_kind(rows).items()):
        rows -= 1
    return rows


def _pairs(
    plan: OODSpec, made: SentenceCollector, drawn: dict[str, list[tuple[str, ...]]], counts: dict[str, int], seed: int
) -> pa.Table:
    """The three kinds of pairs, shuffled together."""
    rows: list[tuple[str, str, str]] = []
    for kind, count in counts.items():
        if kind == "edit":
            pairs = edited_pairs([text for (text,) in drawn[kind][:count]], plan, made.word_counts, seed)
        elif kind == "random":
            # cut only after the meeting: two samples of all there is hold the same sentences
            pairs = random_pairs([text for (text,) in drawn[kind]], [text for (text,) in drawn["second"]])[:count]
        else:
            pairs = [(first, second) for first, second in drawn[kind][:count]]
        rows += [(first, second, kind) for first, second in pairs]
    order = rng.numpy_stream(seed, "ood", "order").permutation(len(rows)).tolist()
    draws = rng.numpy_stream(seed, "ood", "question")
    asked = [(*_as_asked(plan, (rows[i][0], rows[i][1]), draws), rows[i][2]) for i in order]
    return pa.table(dict(zip((*TEXT_COLUMNS, "kind"), map(list, zip(*asked, strict=True)), strict=True)))


def _as_asked(plan: OODSpec, texts: tuple[str, ...], draws: np.random.Generator) -> tuple[str, ...]:
    """The texts of a row, those that are to be questions as such; both with one question word."""
    if not any(plan.questions):
        return texts
    word = QUESTION_WORDS[draws.integers(len(QUESTION_WORDS))]
    return tuple(as_question(t, word) if asked else t for t, asked in zip(texts, plan.questions, strict=True))


def as_question(sentence: str, word: str) -> str:
    """A sentence behind a question word and with `?` at its end; what ends with `?` already stays as it is. [ours]

    The form of a question, no grammar of it: `The town lies in Kent.` → `Where the town lies in Kent?`
    """
    if "?" in sentence[-2:]:
        return sentence
    body = FULL_STOP.sub(r"\1", sentence)
    if sentences.STARTER.match(body) and not body.startswith("I "):
        body = body[0].lower() + body[1:]
    return f"{word if sentence.islower() else word.capitalize()} {body}?"


def edited_pairs(texts: list[str], plan: OODSpec, words: Counter[str], seed: int) -> list[tuple[str, str]]:
    """Each sentence beside a copy in which `plan.edit_words` words are others, whatever their capitals."""
    # equal counts by the alphabet, so that the order of the corpus plays no part
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    frequent = [word for word, _ in ranked[: plan.frequent_words]]
    if len({word.casefold() for word in frequent}) < 2:
        raise DataError(f"replacing words needs two different ones, the corpus has {len(frequent)}")
    draws = rng.numpy_stream(seed, "ood", "edit")
    return [(text, _edit(text, plan.edit_words, frequent, draws)) for text in texts]


def _edit(text: str, count: int, frequent: list[str], draws: np.random.Generator) -> str:
    places = list(sentences.WORD.finditer(text))
    pieces, end = [], 0
    for place in sorted(draws.permutation(len(places))[:count].tolist()):
        pick = int(draws.integers(len(frequent)))
        while frequent[pick].casefold() == places[place].group().casefold():
            pick = (pick + 1) % len(frequent)
        pieces += [text[end : places[place].start()], frequent[pick]]
        end = places[place].end()
    return "".join([*pieces, text[end:]])


def random_pairs(firsts: list[str], seconds: list[str]) -> list[tuple[str, str]]:
    """Pairs of two lists of different sentences, never a sentence with itself."""
    seconds = list(seconds)
    for i, first in enumerate(firsts):
        if first == seconds[i]:  # the next one is another sentence, and its own first is not this one
            j = (i + 1) % len(seconds)
            seconds[i], seconds[j] = seconds[j], seconds[i]
    return list(zip(firsts, seconds, strict=True))
