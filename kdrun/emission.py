"""Text from a T5, with what a gradient needs: `infill` (new words in the gaps of a text), `decode` (a new text).

The design is [ours]: DFKD-T3 (arXiv 2311.01689) published no formula that was found. T5's own language is used, that
of its pretraining by span corruption (Raffel et al. 2020, arXiv 1910.10683, section 3.1.4): a gap of the encoder's
text is a sentinel `<extra_id_N>`, and the decoder answers `<extra_id_0> words <extra_id_1> words …`.

As in `kdrun.relax`, what belongs to single tokens stands in one flat index, `mask.nonzero()` order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun import relax, score_function
from kdrun.errors import ModelError
from kdrun.models.built import UNUSED, special_ids
from kdrun.models.vocabulary import sentinel_ids


@dataclass(frozen=True)
class Marks:
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


def marks(model: nn.Module, tokenizer: Any, also_banned: Tensor | None = None) -> Marks:
    """The marks of a model.

    Args:
        model: a `T5ForConditionalGeneration`.
        tokenizer: its own.
        also_banned: further ids that it may never emit.

    Raises:
        ModelError: it is no T5, or has no sentinels.
    """
    config: Any = model.config
    if config.model_type != "t5":
        raise ModelError(
            f"text is written by a T5 here, and the generator is of architecture {config.model_type!r}; take a "
            "text-to-text one, e.g. generator=t5_tiny, or generator=pretrained generator.path=FOLDER_OF_A_T5"
        )
    sentinels = sentinel_ids(tokenizer)
    if not sentinels:
        raise ModelError("the generator's vocabulary has no sentinels (<extra_id_0>, …), by which a T5 fills gaps")
    banned = {i for entry, i in tokenizer.get_vocab().items() if UNUSED.fullmatch(entry)}
    banned |= {*special_ids(tokenizer), config.eos_token_id, config.decoder_start_token_id}
    banned |= set(range(len(tokenizer), config.vocab_size))
    banned |= set() if also_banned is None else set(also_banned.tolist())
    device = model.get_input_embeddings().weight.device  # pyright: ignore[reportCallIssue]
    return Marks(
        torch.tensor(sentinels, device=device),
        torch.tensor(sorted(i for i in banned if i < config.vocab_size), device=device),
        config.decoder_start_token_id,
        config.eos_token_id,
    )


def draw_spans(free: Tensor, rate: float, mean_length: float, most: int, draws: np.random.Generator) -> Tensor:
    """Spans of each row's free tokens, as T5's pretraining draws them, [batch, length] bool.

    Of n free tokens round(rate·n) are chosen (one at least), in round(chosen / mean_length) spans (one at least) whose
    places and lengths are a random composition of n.

    Args:
        free: tokens that may be chosen, [batch, length].
        rate: share of them that is.
        mean_length: tokens of a span, on average.
        most: spans of a row; a token that may not be chosen cuts a span in two.
        draws: a stream (`kdrun.rng.numpy_stream`).
    """
    mask = np.zeros(tuple(free.shape), bool)
    for row, places in zip(mask, free.cpu().numpy(), strict=True):
        where = np.flatnonzero(places)
        if count := len(where):
            chosen = max(1, round(rate * count))
            spans = min(max(1, round(chosen / mean_length)), chosen, count - chosen + 1)
            inside = _parts(chosen, spans, draws)
            # the ends may be empty, what lies between two spans may not
            outside = _parts(count - chosen + 2, spans + 1, draws)
            outside[0] -= 1
            outside[-1] -= 1
            lengths = np.stack([outside, np.append(inside, 0)], axis=1).ravel()
            row[where] = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    drawn = torch.from_numpy(mask).to(free.device)
    return drawn & (_starts(drawn).cumsum(dim=1) <= most)


def _parts(total: int, count: int, draws: np.random.Generator) -> np.ndarray:
    """`total` as a sum of `count` whole numbers ≥ 1, every composition equally likely, [count]."""
    cuts = np.sort(draws.permutation(total - 1)[: count - 1]) + 1
    return np.diff(cuts, prepend=0, append=total)


def _starts(mask: Tensor) -> Tensor:
    """The first token of each run of `mask`, [batch, length] bool."""
    return mask & ~nn.functional.pad(mask, (1, 0))[:, :-1]


@dataclass(frozen=True)
class Gaps:
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


def gaps(ids: Tensor, attention: Tensor, mask: Tensor, prompt: Tensor, prompted: Tensor, words: Marks) -> Gaps:
    """Cut the masked spans out of a text.

    Args:
        ids: the text, [batch, length].
        attention: 1 for its tokens, [batch, length].
        mask: the spans, [batch, length] bool; at most as many a row as there are sentinels.
        prompt: what stands before it, [batch, p].
        prompted: 1 for tokens of the prompt, [batch, p].
        words: of the model.
    """
    starts = _starts(mask)
    span = (starts.cumsum(dim=1) - 1).clamp(min=0)
    sentinel = words.sentinels[span.clamp(max=len(words.sentinels) - 1)]
    kept = torch.cat([prompted.bool(), attention.bool() & (~mask | starts)], dim=1)
    text, seen = packed(torch.cat([prompt, torch.where(starts, sentinel, ids)], dim=1), kept)
    # the k-th masked word of a row stands behind the start, the sentinels up to its own, and k words
    rows, columns = mask.nonzero(as_tuple=True)
    place = (span + mask.cumsum(dim=1))[rows, columns]
    width = int(place.max()) + 2 if len(place) else 1
    decoder = torch.full((len(ids), width), words.start, dtype=ids.dtype, device=ids.device)
    decoder[rows, place + 1] = ids[rows, columns]
    first, at = starts.nonzero(as_tuple=True)
    decoder[first, (span + mask.cumsum(dim=1))[first, at]] = sentinel[first, at]
    return Gaps(text, seen, decoder, rows, place)


def packed(ids: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """The kept tokens of each row moved to its left, [batch, longest], and their attention mask."""
    order, width = to_the_left(kept)
    return ids.gather(1, order)[:, :width], kept.gather(1, order)[:, :width].long()


def to_the_left(kept: Tensor) -> tuple[Tensor, int]:
    """The order of columns that brings each row's kept ones first, [batch, length], and the most of a row."""
    return (~kept).to(torch.int8).argsort(dim=1, stable=True), max(1, int(kept.sum(dim=1).max()))


def infill_logits(model: nn.Module, cut: Gaps, banned: Tensor) -> Tensor:
    """What a T5 says of every word of the gaps, in one teacher-forced pass: [masked, vocabulary] float32.

    A word's logits know the text around the gaps and the original words before it. Given them the words are
    independent, so that the probability of a filling is the product of those of its words.

    Args:
        model: a `T5ForConditionalGeneration`.
        cut: from `gaps`.
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
    """Logits in float32; like T5's own forward, with the scale that goes with a shared table."""
    scale = model.config.d_model**-0.5 if model.config.scale_decoder_outputs else 1.0
    return model.lm_head(hidden * scale).float()


@dataclass(frozen=True)
class Emission:
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
    made: Tensor
    logits: Tensor
    soft: Tensor | None
    end_log_prob: Tensor
    said_by: Callable[[nn.Module], Tensor]

    @property
    def chosen(self) -> Tensor:
        """The tokens that the model wrote, [made]."""
        return self.ids[self.made]

    @property
    def rows(self) -> Tensor:
        """The row each of them is in, [made]."""
        return self.made.nonzero()[:, 0]

    @property
    def log_prob(self) -> Tensor:
        """Log-probability of what was written in each row, given all that was not: [batch]."""
        return score_function.log_prob(self.logits, self.chosen, self.rows, len(self.ids)) + self.end_log_prob


def infill(
    model: nn.Module,
    inputs: relax.Inputs,
    mask: Tensor,
    prompt: relax.Inputs,
    words: Marks,
    draws: np.random.Generator,
    temperature: float | None = None,
) -> Emission:
    """Fill spans of a text, in one pass; the other tokens stay in their places.

    Args:
        model: a `T5ForConditionalGeneration`.
        inputs: the text, `input_ids` and `attention_mask`, [batch, length].
        mask: from `draw_spans`, [batch, length] bool.
        prompt: what stands before the text, likewise, [batch, p].
        words: of the model.
        draws: a stream (`kdrun.rng.numpy_stream`).
        temperature: τ of the straight-through Gumbel-softmax; None draws without a relaxation.
    """
    ids, attention = inputs["input_ids"], inputs["attention_mask"]
    cut = gaps(ids, attention, mask, prompt["input_ids"], prompt["attention_mask"], words)
    logits = infill_logits(model, cut, words.banned)
    chosen, soft = _drawn(logits, draws, temperature)
    return Emission(
        relax.replaced(ids, mask, chosen),
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
        return relax.drawn_at(logits.detach(), torch.from_numpy(draws.random(len(logits), np.float32))), None
    noise = relax.gumbel(logits.shape[0], logits.shape[1], draws, logits.device)
    return relax.sample(logits, noise), relax.soften(logits, noise, temperature)


@dataclass(frozen=True)
class Lengths:
    """Tokens before which a new text cannot end, and after which it is cut."""

    shortest: int
    longest: int


def decode(
    model: nn.Module,
    inputs: relax.Inputs,
    prompt: relax.Inputs,
    words: Marks,
    lengths: Lengths,
    draws: np.random.Generator,
    temperature: float | None = None,
) -> Emission:
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

    return Emission(made, present, present, logits[present], soft, end_log_prob, said_by)


def _steps(
    model: nn.Module,
    source: Tensor,
    attention: Tensor,
    words: Marks,
    lengths: Lengths,
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
        given = relax.straight_through(table, ids, soft)[:, None]


def decoded_logits(
    model: nn.Module,
    source: Tensor,
    attention: Tensor,
    ids: Tensor,
    present: Tensor,
    words: Marks,
    lengths: Lengths,
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


def _opening(words: Marks, count: int) -> Tensor:
    """What the decoder begins a new text with, [batch, 2]."""
    return torch.tensor([[words.start, int(words.sentinels[0])]], device=words.sentinels.device).expand(count, 2)


def _closed(inputs: relax.Inputs, prompt: relax.Inputs, words: Marks) -> tuple[Tensor, Tensor]:
    """Prompt and source with `<extra_id_0>` and the end mark behind them, and its attention mask."""
    source = inputs["input_ids"]
    tail = torch.tensor([int(words.sentinels[0]), words.end], device=source.device).expand(len(source), 2)
    kept = inputs["attention_mask"].bool() & (source != words.end)
    ids = torch.cat([prompt["input_ids"], source, tail], dim=1)
    return packed(ids, torch.cat([prompt["attention_mask"].bool(), kept, torch.ones_like(tail).bool()], dim=1))


def _allowed(logits: Tensor, words: Marks, *, may_end: bool) -> Tensor:
    allowed = logits.index_fill(1, words.banned, -torch.inf)
    if may_end:
        end = torch.tensor([words.end], device=logits.device)
        allowed = allowed.index_copy(1, end, logits[:, words.end, None])
    return allowed
