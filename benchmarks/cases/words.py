"""Made-up text as long as SST-2's, and a tokenizer that knows its words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from benchmarks.cases.base import SCALE, rows

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def texts(count: int) -> list[str]:
    """Texts as long as SST-2's, of made-up words: two in three are of one WordPiece, the others of two."""
    random = np.random.default_rng(0)
    lengths = rows(count)[0].lengths
    drawn = random.integers(0, SCALE.vocab // 2, int(lengths.sum()))
    words = [f"w{n}" if n % 3 else f"w{n}x{n}" for n in drawn]
    ends = np.cumsum(lengths)
    return [" ".join(words[end - size : end]) for end, size in zip(ends, lengths, strict=True)]


def word_pieces(known: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A fast WordPiece tokenizer of the scale's size, of whose entries the first words are `known`."""
    half = SCALE.vocab // 2
    pieces = [f"w{n}" for n in range(half)] + [f"##x{n}" for n in range(half)]
    entries = {word: i for i, word in enumerate([*SPECIAL, *known, *pieces])}
    backend = Tokenizer(models.WordPiece(entries, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)
