"""Build out-of-domain rows from samples of sentences."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kdrun import rng
from kdrun.data.corpus import sentences
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.sentence_samples import OODSpec, SentenceCollector, collect_sentences
from kdrun.data.splits import TEXT_COLUMNS
from kdrun.errors import DataError

QUESTION_WORDS = ("what", "who", "when", "where", "why", "which", "how")
FULL_STOP = re.compile(r"[.!…]+([\"”’')\]]*)$")


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
