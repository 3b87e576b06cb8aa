"""T5 infilling inputs: sentinels, random spans and packing.

It is the language of T5's pretraining by span corruption (Raffel et al. 2020, arXiv 1910.10683, section 3.1.4): a gap
of the encoder's text is a sentinel `<extra_id_N>`, and the decoder answers `<extra_id_0> words <extra_id_1> words …`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun.errors import ModelError
from kdrun.models import families
from kdrun.models.span_corruption import span_mask
from kdrun.models.tokenizers import NON_WORD_ENTRIES, sentinel_ids, special_ids


@dataclass(frozen=True)
class T5SpecialIds:
    """The ids that are no words for a T5.

    Attributes:
        sentinels: of `<extra_id_0>`, `<extra_id_1>`, …, [k].
        banned: that text may never hold, [n]: special tokens, sentinels, unused entries, rows behind the vocabulary.
        start: what the decoder begins with.
        end: what ends a text.
    """

    sentinels: Tensor
    banned: Tensor
    start: int
    end: int


def marks(model: nn.Module, tokenizer: Any, also_banned: Tensor | None = None) -> T5SpecialIds:
    """The marks of a model.

    Args:
        model: a `T5ForConditionalGeneration`.
        tokenizer: its own.
        also_banned: further ids that it may never emit.

    Raises:
        ModelError: it is no T5, or has no sentinels.
    """
    config: Any = model.config
    family = families.family_of(config)
    if family is None or not family.is_text_to_text:
        raise ModelError(
            f"text is written by a T5 here, and the generator is of architecture {config.model_type!r}; take a "
            "text-to-text one, e.g. generator=t5_tiny, or generator=pretrained generator.path=FOLDER_OF_A_T5"
        )
    sentinels = sentinel_ids(tokenizer)
    if not sentinels:
        raise ModelError("the generator's vocabulary has no sentinels (<extra_id_0>, …), by which a T5 fills gaps")
    banned = {i for entry, i in tokenizer.get_vocab().items() if NON_WORD_ENTRIES.fullmatch(entry)}
    banned |= {*special_ids(tokenizer), config.eos_token_id, config.decoder_start_token_id}
    banned |= set(range(len(tokenizer), config.vocab_size))
    banned |= set() if also_banned is None else set(also_banned.tolist())
    device = model.get_input_embeddings().weight.device  # pyright: ignore[reportCallIssue]
    return T5SpecialIds(
        torch.tensor(sentinels, device=device),
        torch.tensor(sorted(i for i in banned if i < config.vocab_size), device=device),
        config.decoder_start_token_id,
        config.eos_token_id,
    )


def draw_spans(free: Tensor, rate: float, mean_length: float, most: int, draws: np.random.Generator) -> Tensor:
    """Spans of each row's free tokens, as `kdrun.models.span_corruption` draws them: [batch, length] bool.

    Every row with a free token gets one at least. A token that is not free cuts a span in two.

    Args:
        free: tokens that may be chosen, [batch, length].
        rate: share of them that is.
        mean_length: tokens of a span, on average.
        most: spans of a row; what would be more stays as it is.
        draws: a stream (`kdrun.rng.numpy_stream`).
    """
    mask = np.zeros(tuple(free.shape), bool)
    for row, places in zip(mask, free.cpu().numpy(), strict=True):
        if count := int(places.sum()):
            row[places] = span_mask(count, rate, mean_length, draws, most)
    drawn = torch.from_numpy(mask).to(free.device)
    return drawn & (_starts(drawn).cumsum(dim=1) <= most)


def _starts(mask: Tensor) -> Tensor:
    """The first token of each run of `mask`, [batch, length] bool."""
    return mask & ~nn.functional.pad(mask, (1, 0))[:, :-1]


@dataclass(frozen=True)
class InfillingInputs:
    """A text with gaps, as a T5 reads it.

    Attributes:
        ids: the encoder's: a prompt, then the text with a sentinel for each gap, [batch, longest].
        attention: of them, [batch, longest].
        decoder_ids: the decoder's: its start, then the sentinels, each with the words of its gap, [batch, longest].
        rows: of each word of a gap, [masked].
        columns: of the decoder's token that foretells it, [masked].
    """

    ids: Tensor
    attention: Tensor
    decoder_ids: Tensor
    rows: Tensor
    columns: Tensor


def build_infilling_inputs(
    ids: Tensor, attention: Tensor, mask: Tensor, prompt: Mapping[str, Tensor], words: T5SpecialIds
) -> InfillingInputs:
    """Cut the masked spans out of a text.

    Args:
        ids: the text, [batch, length].
        attention: 1 for its tokens, [batch, length].
        mask: the spans, [batch, length] bool; at most as many a row as there are sentinels.
        prompt: what stands before it, `input_ids` and `attention_mask`, [batch, p].
        words: of the model.
    """
    starts = _starts(mask)
    span = (starts.cumsum(dim=1) - 1).clamp(min=0)
    sentinel = words.sentinels[span.clamp(max=len(words.sentinels) - 1)]
    kept = torch.cat([prompt["attention_mask"].bool(), attention.bool() & (~mask | starts)], dim=1)
    text, seen = pack_left(torch.cat([prompt["input_ids"], torch.where(starts, sentinel, ids)], dim=1), kept)
    # the k-th masked word of a row stands behind the start, the sentinels up to its own, and k words
    rows, columns = mask.nonzero(as_tuple=True)
    place = (span + mask.cumsum(dim=1))[rows, columns]
    width = int(place.max()) + 2 if len(place) else 1
    decoder = torch.full((len(ids), width), words.start, dtype=ids.dtype, device=ids.device)
    decoder[rows, place + 1] = ids[rows, columns]
    first, at = starts.nonzero(as_tuple=True)
    decoder[first, (span + mask.cumsum(dim=1))[first, at]] = sentinel[first, at]
    return InfillingInputs(text, seen, decoder, rows, place)


def pack_left(ids: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """The kept tokens of each row moved to its left, [batch, longest], and their attention mask."""
    order, width = left_pack_order(kept)
    return ids.gather(1, order)[:, :width], kept.gather(1, order)[:, :width].long()


def left_pack_order(kept: Tensor) -> tuple[Tensor, int]:
    """The order of columns that brings each row's kept ones first, [batch, length], and the most of a row."""
    return (~kept).to(torch.int8).argsort(dim=1, stable=True), max(1, int(kept.sum(dim=1).max()))
