"""T5 infilling inputs: sentinels, random spans and packing.

The format is that of T5's pretraining by span corruption (Raffel et al. 2020, arXiv 1910.10683, section 3.1.4): a
sentinel `<extra_id_N>` replaces each span in the encoder's text, and the decoder answers
`<extra_id_0> tokens <extra_id_1> tokens …`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun.data.transfer import to_device
from kdrun.errors import ModelError
from kdrun.models import families
from kdrun.models.span_corruption import span_mask
from kdrun.models.tokenizers import NON_WORD_ENTRIES, sentinel_ids, special_ids


@dataclass(frozen=True)
class T5SpecialIds:
    """Ids of a T5 vocabulary that are not text.

    Attributes:
        sentinels: ids of `<extra_id_0>`, `<extra_id_1>`, …, [k].
        banned: ids that text never contains, [n]: special tokens, sentinels, unused entries, ids beyond the vocabulary.
        start: first token of the decoder.
        end: end token of a text.
    """

    sentinels: Tensor
    banned: Tensor
    start: int
    end: int


def t5_special_ids(model: nn.Module, tokenizer: Any, also_banned: Tensor | None = None) -> T5SpecialIds:
    """Special ids of a T5 model.

    Args:
        model: a `T5ForConditionalGeneration`.
        tokenizer: of the model.
        also_banned: further ids that are never generated.

    Raises:
        ModelError: the model is no T5, or has no sentinels.
    """
    config: Any = model.config
    family = families.family_of(config)
    if family is None or not family.is_text_to_text:
        raise ModelError(
            f"this method needs a T5 as generator, and the generator's architecture is {config.model_type!r}; take a "
            "text-to-text model, e.g. generator=t5_tiny, or generator=pretrained generator.path=FOLDER_OF_A_T5"
        )
    sentinels = sentinel_ids(tokenizer)
    if not sentinels:
        raise ModelError(
            "the generator's vocabulary has no sentinels (<extra_id_0>, …), which mark the spans to fill; take a T5 "
            "with its original tokenizer"
        )
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


def draw_spans(
    maskable: Tensor, rate: float, mean_length: float, max_spans: int, stream: np.random.Generator
) -> Tensor:
    """Draw spans of each row's maskable tokens, as `kdrun.models.span_corruption` does, [batch, length] bool.

    Every row with a maskable token gets at least one span. A token that is not maskable splits a span in two.

    Args:
        maskable: tokens that may be masked, [batch, length].
        rate: share of the maskable tokens to mask.
        mean_length: average length of a span, in tokens.
        max_spans: limit of spans per row; tokens of further spans stay unmasked.
        stream: from `kdrun.rng.numpy_stream`.
    """
    mask = np.zeros(tuple(maskable.shape), bool)
    for row, places in zip(mask, maskable.cpu().numpy(), strict=True):
        if count := int(places.sum()):
            row[places] = span_mask(count, rate, mean_length, stream, max_spans)
    drawn = to_device(torch.from_numpy(mask), maskable.device)
    return drawn & (_starts(drawn).cumsum(dim=1) <= max_spans)


def _starts(mask: Tensor) -> Tensor:
    """First token of each run of `mask`, [batch, length] bool."""
    return mask & ~nn.functional.pad(mask, (1, 0))[:, :-1]


@dataclass(frozen=True)
class InfillingInputs:
    """T5 inputs of a text with masked spans.

    Attributes:
        ids: encoder tokens: a prompt, then the text with a sentinel per span, [batch, longest].
        attention: attention mask of the encoder tokens, [batch, longest].
        decoder_ids: decoder tokens: start, then each sentinel with the tokens of its span, [batch, longest].
        rows: row of each masked token, [masked].
        columns: decoder column whose output predicts the token, [masked].
    """

    ids: Tensor
    attention: Tensor
    decoder_ids: Tensor
    rows: Tensor
    columns: Tensor


def build_infilling_inputs(
    ids: Tensor, attention: Tensor, mask: Tensor, prompt: Mapping[str, Tensor], special_ids: T5SpecialIds
) -> InfillingInputs:
    """Replace the masked spans of a text by sentinels, and build the matching decoder inputs.

    Args:
        ids: the text, [batch, length].
        attention: 1 for its tokens, [batch, length].
        mask: the spans, [batch, length] bool; per row at most as many as there are sentinels.
        prompt: tokens before the text, `input_ids` and `attention_mask`, [batch, p].
        special_ids: of the model.
    """
    starts = _starts(mask)
    span = (starts.cumsum(dim=1) - 1).clamp(min=0)
    sentinel = special_ids.sentinels[span.clamp(max=len(special_ids.sentinels) - 1)]
    keep = torch.cat([prompt["attention_mask"].bool(), attention.bool() & (~mask | starts)], dim=1)
    text, text_mask = pack_left(torch.cat([prompt["input_ids"], torch.where(starts, sentinel, ids)], dim=1), keep)
    # before the k-th masked token of a row are the start, the sentinels up to that of its span, and k tokens
    rows, columns = mask.nonzero(as_tuple=True)
    place = (span + mask.cumsum(dim=1))[rows, columns]
    width = int(place.max()) + 2 if len(place) else 1
    decoder = torch.full((len(ids), width), special_ids.start, dtype=ids.dtype, device=ids.device)
    decoder[rows, place + 1] = ids[rows, columns]
    first, at = starts.nonzero(as_tuple=True)
    decoder[first, (span + mask.cumsum(dim=1))[first, at]] = sentinel[first, at]
    return InfillingInputs(text, text_mask, decoder, rows, place)


def pack_left(ids: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens to keep, moved to the left of each row, [batch, longest], and their attention mask."""
    order, width = left_pack_order(keep)
    return ids.gather(1, order)[:, :width], keep.gather(1, order)[:, :width].long()


def left_pack_order(keep: Tensor) -> tuple[Tensor, int]:
    """Column order with the tokens to keep first, [batch, length], and the largest number of them in a row."""
    return (~keep).to(torch.int8).argsort(dim=1, stable=True), max(1, int(keep.sum(dim=1).max()))
