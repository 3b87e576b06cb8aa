"""Random text as long as SST-2's, and a tokenizer for its words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from benchmarks.cases.base import SCALE, rows

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def texts(count: int) -> list[str]:
    """Draw random texts as long as SST-2's: two in three words are one WordPiece, the others two."""
    random = np.random.default_rng(0)
    lengths = rows(count)[0].lengths
    ids = random.integers(0, SCALE.vocab // 2, int(lengths.sum()))
    words = [f"w{n}" if n % 3 else f"w{n}x{n}" for n in ids]
    ends = np.cumsum(lengths)
    return [" ".join(words[end - size : end]) for end, size in zip(ends, lengths, strict=True)]


def word_pieces(names: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Build a fast WordPiece tokenizer of the scale's size, whose first words are `names`."""
    half = SCALE.vocab // 2
    pieces = [f"w{n}" for n in range(half)] + [f"##x{n}" for n in range(half)]
    entries = {word: i for i, word in enumerate([*SPECIAL, *names, *pieces])}
    backend = Tokenizer(models.WordPiece(entries, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    token_names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **token_names)
