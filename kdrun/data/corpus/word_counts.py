"""Count the words of a corpus in several processes.

A word is a piece of text that the training of a vocabulary never merges with another one: for WordPiece the lower-case
words and punctuation marks of BERT's tokenizer, for byte-level BPE the words of GPT-2's in its alphabet of bytes.

Both splits never look across a blank. So the pieces between blanks are counted first, and each distinct piece is split
into words once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from tokenizers import normalizers, pre_tokenizers

from kdrun.data.corpus.cleaning import without_unknown
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.line_ranges import LineRange

ASCII_WORD = re.compile(r"[a-z0-9]+|[^a-z0-9]")
"""BERT's words in lower-case printable ASCII, where every other character is punctuation."""
CACHED_PIECES = 1 << 16

bert_normalizer = normalizers.BertNormalizer(lowercase=True)
bert_splitter = pre_tokenizers.BertPreTokenizer()
byte_splitter = pre_tokenizers.ByteLevel(add_prefix_space=True)
"""With a blank before the first word too, so that a word is the same token at every position."""


@dataclass(frozen=True)
class RangeCounts:
    """The number of lines of a range, and its words with their frequencies."""

    num_lines: int
    words: Counter[str]


def count_words(
    corpus: Corpus, count: Callable[[LineRange], RangeCounts], processes: int | None = None
) -> Counter[str]:
    """The words of a corpus with their frequencies.

    Memory grows with the number of distinct words; each process holds those of one range in addition.

    Args:
        corpus: read once.
        count: `wordpiece_words` or `byte_words`.
        processes: by default one per usable CPU; without influence on the result.

    Raises:
        DataError: a file is not UTF-8, or the corpus has no text.
    """
    words: Counter[str] = Counter()
    for part in corpus.read_in_ranges(count, corpus.ranges(), processes):
        words.update(part.words)
    return words


def wordpiece_words(lines: LineRange) -> RangeCounts:
    """Words for a WordPiece vocabulary, normalized as by BERT."""
    pieces, num_lines = Counter[str](), 0
    for line in without_unknown(lines.lines()):
        if line:
            num_lines += 1
            pieces.update(line.split(" "))
    return RangeCounts(num_lines, _weighted(pieces, _bert_words))


def byte_words(lines: LineRange) -> RangeCounts:
    """Words for a byte-level BPE vocabulary."""
    pieces, whole, num_lines = Counter[str](), Counter[str](), 0
    for line in without_unknown(lines.lines()):
        if line:
            num_lines += 1
            parts = line.split(" ")
            if parts == line.split():
                pieces.update(parts)
            else:  # the split of a run of blanks depends on the whole run
                whole[line] += 1
    return RangeCounts(num_lines, _weighted(pieces, _byte_words) + _weighted(whole, _byte_words))


def _weighted(pieces: Counter[str], split: Callable[[str], Iterable[str]]) -> Counter[str]:
    """The words of these pieces with their frequencies."""
    words: Counter[str] = Counter()
    for piece, count in pieces.items():
        for word in split(piece):
            words[word] += count
    return words


def _bert_words(piece: str) -> Iterable[str]:
    if piece.isascii() and piece.isprintable():
        lower = piece.lower()
        return (lower,) if lower.isalnum() else ASCII_WORD.findall(lower)
    return _normalized_words(piece)


@lru_cache(CACHED_PIECES)
def _normalized_words(piece: str) -> tuple[str, ...]:
    return tuple(word for word, _ in bert_splitter.pre_tokenize_str(bert_normalizer.normalize_str(piece)))


@lru_cache(CACHED_PIECES)
def _byte_words(piece: str) -> tuple[str, ...]:
    return tuple(word for word, _ in byte_splitter.pre_tokenize_str(piece))
