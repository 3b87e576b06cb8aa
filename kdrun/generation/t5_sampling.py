"""Differentiable sampling from T5: span infilling and free decoding.

The design is [ours]: no formula of DFKD-T3 (arXiv 2311.01689) was found. As in `kdrun.generation.soft_tokens`, values
per token have one flat index, in the order of `mask.nonzero()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun.generation import gumbel, masking, soft_tokens, span_infilling
from kdrun.generation.generated_tokens import GeneratedTokens
from kdrun.generation.span_infilling import InfillingInputs, T5SpecialIds
from kdrun.models.t5_base import scale_decoder_states


def infill_logits(model: nn.Module, infilling: InfillingInputs, banned: Tensor) -> Tensor:
    """Logits of a T5 for every token of the spans, in one teacher-forced pass, [masked, vocabulary] float32.

    The logits of a token depend on the text around the spans and on the original tokens before it. Given these, the
    tokens are independent, so that the probability of an infilling is the product of the probabilities of its tokens.

    Args:
        model: a `T5ForConditionalGeneration`.
        infilling: from `kdrun.generation.span_infilling.build_infilling_inputs`.
        banned: ids that are never generated, [n]: their logit is −inf.
    """
    t5: Any = model
    encoded = t5.encoder(input_ids=infilling.ids, attention_mask=infilling.attention).last_hidden_state
    # the decoder is causal, so padding on the right needs no mask
    hidden = t5.decoder(
        input_ids=infilling.decoder_ids,
        encoder_hidden_states=encoded,
        encoder_attention_mask=infilling.attention,
        use_cache=False,
    ).last_hidden_state
    logits = lm_logits(t5, hidden[infilling.rows, infilling.columns])
    return logits.index_fill_(1, banned, -torch.inf)  # in place: the head's own output, and large


def lm_logits(model: Any, hidden: Tensor) -> Tensor:
    """Logits over the vocabulary in float32."""
    return model.lm_head(scale_decoder_states(model.config, hidden)).float()


def infill(
    model: nn.Module,
    inputs: masking.Inputs,
    mask: Tensor,
    prompt: masking.Inputs,
    special_ids: T5SpecialIds,
    stream: np.random.Generator,
    temperature: float | None = None,
) -> GeneratedTokens:
    """Fill spans of a text, in one pass; the other tokens stay in place.

    Args:
        model: a `T5ForConditionalGeneration`.
        inputs: the text, `input_ids` and `attention_mask`, [batch, length].
        mask: from `kdrun.generation.span_infilling.draw_spans`, [batch, length] bool.
        prompt: tokens before the text, likewise, [batch, p].
        special_ids: of the model.
        stream: from `kdrun.rng.numpy_stream`.
        temperature: τ of the straight-through Gumbel-softmax; None draws without a relaxation.
    """
    ids, attention = inputs["input_ids"], inputs["attention_mask"]
    infilling = span_infilling.build_infilling_inputs(ids, attention, mask, prompt, special_ids)
    logits = infill_logits(model, infilling, special_ids.banned)
    drawn, soft = _sample(logits, stream, temperature)
    return GeneratedTokens(
        masking.fill_masked_ids(ids, mask, drawn),
        attention.bool(),
        mask,
        logits,
        soft,
        torch.zeros(len(ids), device=ids.device),
        lambda other: infill_logits(other, infilling, special_ids.banned),
    )


def _sample(logits: Tensor, stream: np.random.Generator, temperature: float | None) -> tuple[Tensor, Tensor | None]:
    """Sample tokens; with a temperature also their Gumbel-softmax relaxation."""
    if temperature is None:
        return gumbel.inverse_cdf_sample(
            logits.detach(), torch.from_numpy(stream.random(len(logits), np.float32))
        ), None
    noise = gumbel.gumbel_noise(logits.shape[0], logits.shape[1], stream, logits.device)
    return gumbel.gumbel_argmax(logits, noise), gumbel.gumbel_softmax(logits, noise, temperature)


@dataclass(frozen=True)
class LengthLimits:
    """Limits of a new text: tokens before which it cannot end, and after which it is cut."""

    min_tokens: int
    max_tokens: int


def decode(
    model: nn.Module,
    inputs: masking.Inputs,
    prompt: masking.Inputs,
    special_ids: T5SpecialIds,
    lengths: LengthLimits,
    stream: np.random.Generator,
    temperature: float | None = None,
) -> GeneratedTokens:
    """Generate new texts token by token, each row until its end token.

    The source ends in the sentinel `<extra_id_0>` and the decoder starts with it, so that the text fills a span at the
    end of the source. With a temperature the embedding of a token is straight-through: the decoder reads the discrete
    token, and the gradient is that of softmax((logits + g) / τ), through all later steps. (The decision to stop is
    discrete and gets no such gradient.)

    Args:
        model: a `T5ForConditionalGeneration`.
        inputs: the source, `input_ids` and `attention_mask`, [batch, length].
        prompt: tokens before it, likewise, [batch, p].
        special_ids: of the model.
        lengths: limits of the new texts, in tokens.
        stream: from `kdrun.rng.numpy_stream`.
        temperature: τ; None draws without a relaxation.
    """
    source, attention = encoder_inputs(inputs, prompt, special_ids)
    steps = list(_decode_steps(model, source, attention, special_ids, lengths, stream, temperature))
    ids, active, logits = (torch.stack(column, dim=1) for column in list(zip(*steps, strict=True))[:3])
    present, ends = active & (ids != special_ids.end), active & (ids == special_ids.end)
    end_log_prob = logits.new_zeros(len(ids))
    if bool(ends.any()):
        log_probs = logits[ends].log_softmax(dim=-1)[:, special_ids.end]
        end_log_prob = end_log_prob.index_add(0, ends.nonzero()[:, 0], log_probs)
    width = int(present.sum(dim=1).max())
    text, present, logits = (
        ids.masked_fill(~present, special_ids.start)[:, :width],
        present[:, :width],
        logits[:, :width],
    )
    soft = None
    if temperature is not None:
        soft = torch.stack([step[3] for step in steps], dim=1)[:, :width][present]

    def rescore(other: nn.Module) -> Tensor:
        return decoded_logits(other, source, attention, text, present, special_ids, lengths)

    return GeneratedTokens(text, present, present, logits[present], soft, end_log_prob, rescore)


def _decode_steps(
    model: nn.Module,
    source: Tensor,
    attention: Tensor,
    special_ids: T5SpecialIds,
    lengths: LengthLimits,
    stream: np.random.Generator,
    temperature: float | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Steps of `decode` until every row has ended.

    Yields:
        Tokens [batch], rows that had not ended before [batch] bool, logits [batch, vocabulary], and the relaxation of
        the tokens (the logits if there is none).
    """
    t5: Any = model
    table, count = t5.get_input_embeddings().weight, len(source)
    encoded = t5.encoder(input_ids=source, attention_mask=attention).last_hidden_state
    embeddings, cache = table[decoder_start(special_ids, count)], None
    active = torch.ones(count, dtype=torch.bool, device=source.device)
    for step in range(lengths.max_tokens):
        out = decode_token(t5, embeddings, encoded, attention, cache)
        cache = out.past_key_values
        logits = mask_banned(
            lm_logits(t5, out.last_hidden_state[:, -1]), special_ids, may_end=step >= lengths.min_tokens
        )
        ids, soft = _sample(logits, stream, temperature)
        yield ids, active, logits, logits if soft is None else soft
        active = active & (ids != special_ids.end)
        if not bool(active.any()):
            return
        embeddings = soft_tokens.straight_through(table, ids, soft)[:, None]


def decode_token(t5: Any, embeddings: Tensor, encoded: Tensor, attention: Tensor, cache: Any) -> Any:
    """The decoder's output for the next token of each text.

    Args:
        t5: the model.
        embeddings: of the last token, [batch, 1, width].
        encoded: states of the encoder, [batch, tokens, width].
        attention: 1 for real tokens of the source, [batch, tokens].
        cache: keys and values of the earlier tokens; None before the first.
    """
    return t5.decoder(
        inputs_embeds=embeddings,
        past_key_values=cache,
        encoder_hidden_states=encoded,
        encoder_attention_mask=attention,
        use_cache=True,
    )


def decoded_logits(
    model: nn.Module,
    source: Tensor,
    attention: Tensor,
    ids: Tensor,
    present: Tensor,
    special_ids: T5SpecialIds,
    lengths: LengthLimits,
) -> Tensor:
    """Logits of a T5 for the tokens of texts from `decode`, in one teacher-forced pass, [generated, vocabulary].

    Args:
        model: a `T5ForConditionalGeneration`.
        source: input of the encoder, with its end token, [batch, length].
        attention: its attention mask, [batch, length].
        ids: the texts, [batch, longest].
        present: tokens of text, [batch, longest] bool.
        special_ids: of the model.
        lengths: limits that the texts were generated with.
    """
    t5: Any = model
    encoded = t5.encoder(input_ids=source, attention_mask=attention).last_hidden_state
    hidden = t5.decoder(
        input_ids=torch.cat([decoder_start(special_ids, len(ids)), ids], dim=1),
        encoder_hidden_states=encoded,
        encoder_attention_mask=attention,
        use_cache=False,
    ).last_hidden_state[:, 1:-1]
    early, late = present.clone(), present.clone()
    early[:, lengths.min_tokens :], late[:, : lengths.min_tokens] = False, False
    logits = torch.zeros(*ids.shape, t5.config.vocab_size, device=ids.device)
    logits[early] = mask_banned(lm_logits(t5, hidden[early]), special_ids, may_end=False)
    logits[late] = mask_banned(lm_logits(t5, hidden[late]), special_ids, may_end=True)
    return logits[present]


def decoder_start(special_ids: T5SpecialIds, count: int) -> Tensor:
    """Tokens that the decoder starts a new text with, [batch, 2]."""
    return torch.tensor(
        [[special_ids.start, int(special_ids.sentinels[0])]], device=special_ids.sentinels.device
    ).expand(count, 2)


def encoder_inputs(inputs: masking.Inputs, prompt: masking.Inputs, special_ids: T5SpecialIds) -> tuple[Tensor, Tensor]:
    """Prompt and source followed by `<extra_id_0>` and the end token, and their attention mask."""
    source = inputs["input_ids"]
    tail = torch.tensor([int(special_ids.sentinels[0]), special_ids.end], device=source.device).expand(len(source), 2)
    kept = inputs["attention_mask"].bool() & (source != special_ids.end)
    ids = torch.cat([prompt["input_ids"], source, tail], dim=1)
    return span_infilling.pack_left(
        ids, torch.cat([prompt["attention_mask"].bool(), kept, torch.ones_like(tail).bool()], dim=1)
    )


def mask_banned(logits: Tensor, special_ids: T5SpecialIds, *, may_end: bool) -> Tensor:
    """Set the logits of banned ids to −inf in place, except that of the end token where a text may end."""
    end = logits[:, special_ids.end].clone()
    logits.index_fill_(1, special_ids.banned, -torch.inf)
    if may_end:
        logits[:, special_ids.end] = end
    return logits
