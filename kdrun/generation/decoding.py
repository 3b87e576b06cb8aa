"""Decode answers, greedily or by sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdrun.errors import TrainingError
from kdrun.generation import gumbel
from kdrun.models.answer_decoder import AnswerDecoder

TokenChoice = Callable[[Tensor, int], Tensor]
"""Chooses the next token of each row, [batch] int64, from logits [batch, vocabulary] and the number of the token."""


def greedy_decode(model: Any, inputs: Mapping[str, Tensor], limit: int) -> tuple[Tensor, Tensor]:
    """Decode with the most probable token at each step; arguments, result and errors as for `decode`.

    The tokens are those of transformers' `generate` (tested), without its bookkeeping per token, which takes a third of
    the time of a small model.
    """
    return decode(model, inputs, limit, lambda logits, _: logits.argmax(dim=-1))


def sample_decode(
    model: Any, inputs: Mapping[str, Tensor], uniform: np.ndarray, temperature: float, top_p: float
) -> tuple[Tensor, Tensor]:
    """Decode with a random token at each step; model, result and errors as for `decode`.

    The answer of a row depends on its own uniform numbers only.

    Args:
        model: as for `decode`.
        inputs: likewise.
        uniform: a number in [0, 1) per token, [batch, limit] float32.
        temperature: divides the logits, above 0.
        top_p: share of the probability whose most probable tokens are candidates; 1 for all.
    """
    numbers = torch.from_numpy(uniform)

    def choose(logits: Tensor, number: int) -> Tensor:
        candidates = nucleus(logits.float() / temperature, top_p)
        return gumbel.inverse_cdf_sample(candidates, numbers[:, number])

    return decode(model, inputs, uniform.shape[1], choose)


@torch.no_grad()
def decode(model: Any, inputs: Mapping[str, Tensor], limit: int, choose: TokenChoice) -> tuple[Tensor, Tensor]:
    """Decode an answer token by token.

    Args:
        model: a T5ForConditionalGeneration or an AnswerDecoder, in evaluation mode.
        inputs: `input_ids` and `attention_mask`, [batch, length]; other entries are ignored.
        limit: maximum number of tokens, including the end token.
        choose: chooses the next tokens.

    Returns:
        Token ids without the start token, [batch, up to limit], padded after each end; and whether the end was reached,
        [batch] bool.

    Raises:
        TrainingError: a logit is not finite, which an argmax would hide.
    """
    config, token, tokens = model.config, None, list[Tensor]()
    read = model.reader(inputs) if isinstance(model, AnswerDecoder) else _t5_reader(model, inputs)
    ended = torch.zeros_like(inputs["input_ids"][:, 0], dtype=torch.bool)
    while len(tokens) < limit and not bool(ended.all()):
        logits = read(token)
        if not bool(torch.isfinite(logits).all()):
            raise TrainingError(
                "the logits are not finite while the model generates an answer, so it has diverged; lower the learning "
                "rate, or try runtime.precision=fp32"
            )
        token = choose(logits, len(tokens)).masked_fill(ended, config.pad_token_id)
        ended = ended | (token == config.eos_token_id)
        tokens.append(token)
    return torch.stack(tokens, dim=1), ended


def _t5_reader(model: Any, inputs: Mapping[str, Tensor]) -> Callable[[Tensor | None], Tensor]:
    """Read texts with a T5, and then their answers token by token; as `AnswerDecoder.reader`."""
    attention, cache = inputs["attention_mask"], None
    encoded = model.encoder(input_ids=inputs["input_ids"], attention_mask=attention)
    start = torch.full_like(inputs["input_ids"][:, 0], model.config.decoder_start_token_id)

    def read(token: Tensor | None) -> Tensor:
        nonlocal cache
        out = model(
            encoder_outputs=encoded,
            attention_mask=attention,
            decoder_input_ids=(start if token is None else token)[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        cache = out.past_key_values
        return out.logits[:, -1]

    return read


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits of the most probable tokens whose probabilities add up to `top_p`; −inf for the others.

    The token that reaches the sum belongs to them, so that at least one is left.

    Args:
        logits: [batch, vocabulary].
        top_p: above 0; 1 leaves all tokens.
    """
    if top_p >= 1:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(dim=-1)
    is_left_out = probabilities.cumsum(dim=-1) - probabilities >= top_p
    return logits.masked_fill(torch.zeros_like(is_left_out).scatter(1, order, is_left_out), -torch.inf)
