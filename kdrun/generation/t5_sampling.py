"""Differentiable sampling from T5: span infilling and free decoding.

The design is [ours]: DFKD-T3 (arXiv 2311.01689) published no formula that was found. As in `kdrun.generation.soft_tokens`, what belongs
to single tokens stands in one flat index, `mask.nonzero()` order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun.generation import gumbel, masking, reinforce, soft_tokens, span_infilling
from kdrun.generation.span_infilling import InfillingInputs, T5SpecialIds
from kdrun.models.t5_base import scale_decoder_states


def infill_logits(model: nn.Module, cut: InfillingInputs, banned: Tensor) -> Tensor:
    """What a T5 says of every word of the gaps, in one teacher-forced pass: [masked, vocabulary] float32.

    A word's logits know the text around the gaps and the original words before it. Given them the words are
    independent, so that the probability of a filling is the product of those of its words.

    Args:
        model: a `T5ForConditionalGeneration`.
        cut: from `kdrun.generation.span_infilling.build_infilling_inputs`.
        banned: ids it may never give, [n]: their logit is −inf.
    """
    parts: Any = model
    read = parts.encoder(input_ids=cut.ids, attention_mask=cut.attention).last_hidden_state
    # causal: padding on the right needs no mask
    hidden = parts.decoder(
        input_ids=cut.decoder_ids, encoder_hidden_states=read, encoder_attention_mask=cut.attention, use_cache=False
    ).last_hidden_state
    return _head(parts, hidden[cut.rows, cut.columns]).index_fill(1, banned, -torch.inf)


def _head(model: Any, hidden: Tensor) -> Tensor:
    """Logits over the vocabulary in float32."""
    return model.lm_head(scale_decoder_states(model.config, hidden)).float()


@dataclass(frozen=True)
class GeneratedTokens:
    """Text that a T5 wrote.

    Attributes:
        ids: its tokens, [batch, length].
        present: which of them are not padding, [batch, length] bool.
        made: which of them the model wrote, [batch, length] bool.
        logits: what each of these was drawn from, [made, vocabulary]; −inf for what can never be given.
        soft: their Gumbel-softmax relaxation, likewise; None where none was asked for.
        end_log_prob: log-probability of ending a text where it ends, [batch]; 0 where that was no choice.
        said_by: what another T5 would have said of the same tokens, [made, vocabulary].
    """

    ids: Tensor
    present: Tensor
    generated_mask: Tensor
    logits: Tensor
    soft: Tensor | None
    end_log_prob: Tensor
    rescore_with: Callable[[nn.Module], Tensor]

    @property
    def generated_ids(self) -> Tensor:
        """The tokens that the model wrote, [made]."""
        return self.ids[self.generated_mask]

    @property
    def rows(self) -> Tensor:
        """The row each of them is in, [made]."""
        return self.generated_mask.nonzero()[:, 0]

    @property
    def log_prob(self) -> Tensor:
        """Log-probability of what was written in each row, given all that was not: [batch]."""
        return (
            reinforce.sequence_log_prob(self.logits, self.generated_ids, self.rows, len(self.ids)) + self.end_log_prob
        )


def infill(
    model: nn.Module,
    inputs: masking.Inputs,
    mask: Tensor,
    prompt: masking.Inputs,
    words: T5SpecialIds,
    draws: np.random.Generator,
    temperature: float | None = None,
) -> GeneratedTokens:
    """Fill spans of a text, in one pass; the other tokens stay in their places.

    Args:
        model: a `T5ForConditionalGeneration`.
        inputs: the text, `input_ids` and `attention_mask`, [batch, length].
        mask: from `kdrun.generation.span_infilling.draw_spans`, [batch, length] bool.
        prompt: what stands before the text, likewise, [batch, p].
        words: of the model.
        draws: a stream (`kdrun.rng.numpy_stream`).
        temperature: τ of the straight-through Gumbel-softmax; None draws without a relaxation.
    """
    ids, attention = inputs["input_ids"], inputs["attention_mask"]
    cut = span_infilling.build_infilling_inputs(ids, attention, mask, prompt, words)
    logits = infill_logits(model, cut, words.banned)
    chosen, soft = _drawn(logits, draws, temperature)
    return GeneratedTokens(
        masking.fill_masked_ids(ids, mask, chosen),
        attention.bool(),
        mask,
        logits,
        soft,
        torch.zeros(len(ids), device=ids.device),
        lambda other: infill_logits(other, cut, words.banned),
    )


def _drawn(logits: Tensor, draws: np.random.Generator, temperature: float | None) -> tuple[Tensor, Tensor | None]:
    """Tokens from their distribution, and their relaxation where a temperature is given."""
    if temperature is None:
        return gumbel.inverse_cdf_sample(logits.detach(), torch.from_numpy(draws.random(len(logits), np.float32))), None
    noise = gumbel.gumbel(logits.shape[0], logits.shape[1], draws, logits.device)
    return gumbel.sample(logits, noise), gumbel.gumbel_softmax(logits, noise, temperature)


@dataclass(frozen=True)
class LengthLimits:
    """Tokens before which a new text cannot end, and after which it is cut."""

    shortest: int
    longest: int


def decode(
    model: nn.Module,
    inputs: masking.Inputs,
    prompt: masking.Inputs,
    words: T5SpecialIds,
    lengths: LengthLimits,
    draws: np.random.Generator,
    temperature: float | None = None,
) -> GeneratedTokens:
    """Write new texts token by token, each row until its end mark.

    The source ends in the sentinel `<extra_id_0>` and the decoder opens with it: the text is what fills a gap at the
    source's end. With a temperature a token's embedding is a straight-through one: the decoder reads the discrete
    token, and the gradient is that of softmax((logits + g) / τ), through all later steps. (When to stop is discrete
    and gets no gradient by it.)

    Args:
        model: a `T5ForConditionalGeneration`.
        inputs: the source, `input_ids` and `attention_mask`, [batch, length].
        prompt: what stands before it, likewise, [batch, p].
        words: of the model.
        lengths: of the new texts, in tokens.
        draws: a stream (`kdrun.rng.numpy_stream`).
        temperature: τ; None draws without a relaxation.
    """
    source, attention = _closed(inputs, prompt, words)
    steps = list(_steps(model, source, attention, words, lengths, draws, temperature))
    ids, going, logits = (torch.stack(column, dim=1) for column in list(zip(*steps, strict=True))[:3])
    present, ends = going & (ids != words.end), going & (ids == words.end)
    end_log_prob = torch.zeros(len(ids), device=ids.device)
    if bool(ends.any()):
        ending = logits[ends].log_softmax(dim=-1)[:, words.end]
        end_log_prob = end_log_prob.index_add(0, ends.nonzero()[:, 0], ending)
    width = int(present.sum(dim=1).max())
    made, present, logits = ids.masked_fill(~present, words.start)[:, :width], present[:, :width], logits[:, :width]
    soft = None
    if temperature is not None:
        soft = torch.stack([step[3] for step in steps], dim=1)[:, :width][present]

    def said_by(other: nn.Module) -> Tensor:
        return decoded_logits(other, source, attention, made, present, words, lengths)

    return GeneratedTokens(made, present, present, logits[present], soft, end_log_prob, said_by)


def _steps(
    model: nn.Module,
    source: Tensor,
    attention: Tensor,
    words: T5SpecialIds,
    lengths: LengthLimits,
    draws: np.random.Generator,
    temperature: float | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The steps of `decode` until every row has ended: tokens [batch], whose rows had not ended before [batch], logits
    [batch, vocabulary], and their relaxation (the logits again where there is none).
    """
    parts: Any = model
    table, count = parts.get_input_embeddings().weight, len(source)
    read = parts.encoder(input_ids=source, attention_mask=attention).last_hidden_state
    given, past = table[_opening(words, count)], None
    going = torch.ones(count, dtype=torch.bool, device=source.device)
    for step in range(lengths.longest):
        out = parts.decoder(
            inputs_embeds=given,
            past_key_values=past,
            encoder_hidden_states=read,
            encoder_attention_mask=attention,
            use_cache=True,
        )
        past = out.past_key_values
        logits = _allowed(_head(parts, out.last_hidden_state[:, -1]), words, may_end=step >= lengths.shortest)
        ids, soft = _drawn(logits, draws, temperature)
        yield ids, going, logits, logits if soft is None else soft
        going = going & (ids != words.end)
        if not bool(going.any()):
            return
        given = soft_tokens.straight_through(table, ids, soft)[:, None]


def decoded_logits(
    model: nn.Module,
    source: Tensor,
    attention: Tensor,
    ids: Tensor,
    present: Tensor,
    words: T5SpecialIds,
    lengths: LengthLimits,
) -> Tensor:
    """What a T5 says of the tokens of texts that `decode` wrote, in one teacher-forced pass: [made, vocabulary].

    Args:
        model: a `T5ForConditionalGeneration`.
        source: what the encoder reads, its end included, [batch, length].
        attention: of it, [batch, length].
        ids: the texts, [batch, longest].
        present: which of these tokens are text, [batch, longest] bool.
        words: of the model.
        lengths: that they were written with.
    """
    parts: Any = model
    read = parts.encoder(input_ids=source, attention_mask=attention).last_hidden_state
    hidden = parts.decoder(
        input_ids=torch.cat([_opening(words, len(ids)), ids], dim=1),
        encoder_hidden_states=read,
        encoder_attention_mask=attention,
        use_cache=False,
    ).last_hidden_state[:, 1:-1]
    early, late = present.clone(), present.clone()
    early[:, lengths.shortest :], late[:, : lengths.shortest] = False, False
    logits = torch.zeros(*ids.shape, parts.config.vocab_size, device=ids.device)
    logits[early] = _allowed(_head(parts, hidden[early]), words, may_end=False)
    logits[late] = _allowed(_head(parts, hidden[late]), words, may_end=True)
    return logits[present]


def _opening(words: T5SpecialIds, count: int) -> Tensor:
    """What the decoder begins a new text with, [batch, 2]."""
    return torch.tensor([[words.start, int(words.sentinels[0])]], device=words.sentinels.device).expand(count, 2)


def _closed(inputs: masking.Inputs, prompt: masking.Inputs, words: T5SpecialIds) -> tuple[Tensor, Tensor]:
    """Prompt and source with `<extra_id_0>` and the end mark behind them, and its attention mask."""
    source = inputs["input_ids"]
    tail = torch.tensor([int(words.sentinels[0]), words.end], device=source.device).expand(len(source), 2)
    kept = inputs["attention_mask"].bool() & (source != words.end)
    ids = torch.cat([prompt["input_ids"], source, tail], dim=1)
    return span_infilling.pack_left(
        ids, torch.cat([prompt["attention_mask"].bool(), kept, torch.ones_like(tail).bool()], dim=1)
    )


def _allowed(logits: Tensor, words: T5SpecialIds, *, may_end: bool) -> Tensor:
    allowed = logits.index_fill(1, words.banned, -torch.inf)
    if may_end:
        end = torch.tensor([words.end], device=logits.device)
        allowed = allowed.index_copy(1, end, logits[:, words.end, None])
    return allowed
