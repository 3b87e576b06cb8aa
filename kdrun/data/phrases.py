"""Find rows that are phrases of longer rows.

A text is compared as its words: lower case, without punctuation. A phrase of a text is a contiguous part of its words.
Parts are compared by polynomial hashes modulo 2^64: with prefix sums H_i = Σ_{j<i} w_j · b^j of the words' hashes w_j,
the part of n words from word i has the hash (H_{i+n} - H_i) · b^-i, wherever it is.

Cost: one pass over all words per length of a text up to `MAX_WORDS`; 12 bytes in memory per text, and one block of
texts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kdrun.data import disk_table
from kdrun.data.splits import Split

MAX_WORDS = 64
"""Longest phrase that is searched for in longer texts; equal texts of any length are found."""
BLOCK_WORDS = 1 << 19
"""Words after which a block of texts ends."""
BLOCK_ROWS = 1 << 10
"""Rows that are split into words at a time."""
CACHED_WORDS = 1 << 20
"""Most hashes of words in memory."""
TABLE_BITS = 18
"""Bits of a hash in the first test of a part."""
BASE = 0x9E3779B97F4A7C15
"""The base b: odd, so that it has an inverse modulo 2^64."""
WORD = re.compile(r"\w+")


@dataclass
class WordHashes:
    """Hashes of words, 64 bits each; the newest ones stay in memory."""

    _known: dict[str, int] = field(default_factory=dict)

    def of_text(self, text: str) -> list[int]:
        """The hashes of a text's words; of a text without a word, the hash of the text."""
        return [self._of_word(word) for word in WORD.findall(text.casefold()) or [text]]

    def _of_word(self, word: str) -> int:
        value = self._known.get(word)
        if value is None:
            if len(self._known) >= CACHED_WORDS:
                self._known.clear()
            data = word.encode("utf-8", "surrogatepass")
            value = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
            self._known[word] = value
        return value


@dataclass(frozen=True)
class Block:
    """Some texts as hashes of words.

    Attributes:
        texts: number of each text, [texts].
        sizes: words of each text, [texts].
        sums: prefix sums H of the words of all texts in order, [words + 1], uint64.
        inverse: b^-i, [words + 1], uint64.
    """

    texts: np.ndarray
    sizes: np.ndarray
    sums: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of_words(cls, texts: np.ndarray, words: list[list[int]]) -> Block:
        """A block of texts from the hashes of their words."""
        sizes = np.array([len(text) for text in words], np.int64)
        flat = np.array([word for text in words for word in text], np.uint64)
        powers, inverse = _powers(BASE, len(flat) + 1), _powers(pow(BASE, -1, 1 << 64), len(flat) + 1)
        sums = np.zeros(len(flat) + 1, np.uint64)
        np.cumsum(flat * powers[:-1], out=sums[1:])
        return cls(texts, sizes, sums, inverse)

    def hashes(self) -> np.ndarray:
        """The hash of each whole text, [texts]."""
        ends = np.cumsum(self.sizes)
        return self.parts(ends - self.sizes, self.sizes)

    def parts(self, starts: np.ndarray, length: np.ndarray | int) -> np.ndarray:
        """The hashes of the parts that begin at these words, [parts]."""
        return (self.sums[starts + length] - self.sums[starts]) * self.inverse[starts]


def _powers(base: int, count: int) -> np.ndarray:
    """base^0 … base^(count - 1) modulo 2^64."""
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


@dataclass(frozen=True)
class DistinctTexts:
    """The different texts of a column of a split, by their words.

    Attributes:
        split: the rows.
        column: name of the column.
        numbers: number of each row's text, [rows].
        first: first row of each text, [texts].
        hashes: of each text, [texts], in rising order.
        sizes: words of each text, [texts].
    """

    split: Split
    column: str
    numbers: np.ndarray
    first: np.ndarray
    hashes: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of_split(cls, split: Split, column: str = "text") -> DistinctTexts:
        """The different texts of a column; one pass over the split."""
        blocks = [(block.hashes(), block.sizes) for block in _blocks(split, column, np.arange(split.num_rows))]
        hashes, sizes = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        values, first, numbers = np.unique(hashes, return_index=True, return_inverse=True)
        return cls(split, column, numbers.reshape(-1), first, values, sizes[first])

    def numbers_of(self, split: Split) -> np.ndarray:
        """The number of the text of each row of another split, [rows]; -1 for another text."""
        if not split.num_rows:
            return np.zeros(0, np.int64)
        hashes = np.concatenate([b.hashes() for b in _blocks(split, self.column, np.arange(split.num_rows))])
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[places] == hashes, places, -1)

    def contained(self, among: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield pairs of a text and a longer text that contains it: their numbers, [pairs] each.

        Args:
            among: numbers of the longer texts; None is all texts.
        """
        numbers = np.argsort(self.first) if among is None else np.sort(among)
        longest = int(self.sizes.max(initial=0))
        numbers = numbers[self.sizes[numbers] > int(self.sizes.min(initial=longest))]
        for block in _blocks(self.split, self.column, self.first[numbers], numbers):
            remaining = np.concatenate([np.arange(size, 0, -1) for size in block.sizes.tolist()])
            size, text = np.repeat(block.sizes, block.sizes), np.repeat(block.texts, block.sizes)
            for length, (hashes, texts, table) in self._phrases.items():
                starts = np.flatnonzero((remaining >= length) & (size > length))
                parts = block.parts(starts, length)
                maybe = np.flatnonzero(table[parts >> np.uint64(64 - TABLE_BITS)])
                places = np.minimum(np.searchsorted(hashes, parts[maybe]), len(hashes) - 1)
                is_equal = hashes[places] == parts[maybe]
                yield texts[places[is_equal]], text[starts[maybe[is_equal]]]

    @cached_property
    def _phrases(self) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Texts that may be phrases, by number of words: sorted hashes, numbers, and a table of first bits."""
        phrases = {}
        for length in np.unique(self.sizes[self.sizes <= MAX_WORDS]).tolist():
            texts = np.flatnonzero(self.sizes == length)  # hashes rise with the number of the text
            table = np.zeros(1 << TABLE_BITS, bool)
            table[self.hashes[texts] >> np.uint64(64 - TABLE_BITS)] = True
            phrases[length] = self.hashes[texts], texts, table
        return phrases


def _blocks(split: Split, column: str, rows: np.ndarray, texts: np.ndarray | None = None) -> Iterator[Block]:
    """The texts of some rows in blocks; `texts` are their numbers, by default those of the rows."""
    words, hashes, start = list[list[int]](), WordHashes(), 0
    texts, count = rows if texts is None else texts, 0
    for at in range(0, len(rows), BLOCK_ROWS):
        table = disk_table.take(split.table.select([column]), rows[at : at + BLOCK_ROWS])
        new = [hashes.of_text(text) for text in table.column(column).to_pylist()]
        words, count = words + new, count + sum(map(len, new))
        stop = start + len(words)
        if count >= BLOCK_WORDS or stop == len(rows):
            yield Block.of_words(texts[start:stop], words)
            words, start, count = [], stop, 0
