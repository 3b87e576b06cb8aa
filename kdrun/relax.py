"""Masked text made soft: masks, Gumbel-softmax, and soft tokens as the input embeddings of any model.

What adversarial text needs (MATE-KD, arXiv 2105.05912; ZSKD, arXiv 2012.15495) in the form that costs least:
the language-model head and the noise are computed at masked positions only, and a soft token enters a model as
one row of `y @ table`, never as a one-hot over the whole text. The values equal the textbook form (tested).
Positions are given as one flat index of the masked tokens, `mask.nonzero()` order, throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun.errors import ModelError

Inputs = Mapping[str, Tensor]

HEADS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "bert": lambda model, hidden: model.cls(hidden),
    "roberta": lambda model, hidden: model.lm_head(hidden),
    "distilbert": lambda model, hidden: model.vocab_projector(
        model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    ),
}
"""Architecture → its masked-language-model head, from hidden states [n, hidden] to logits [n, vocabulary]."""


def maskable(inputs: Inputs, special_ids: Tensor) -> Tensor:
    """Which tokens may be changed: neither padding, special nor of a prompt, [batch, length] bool.

    Args:
        inputs: `input_ids` and `attention_mask`, [batch, length], and `prompt_mask` where rows have prompts.
        special_ids: ids that never change, [k].
    """
    free = inputs["attention_mask"].bool() & ~torch.isin(inputs["input_ids"], special_ids)
    return free & ~inputs["prompt_mask"].bool() if "prompt_mask" in inputs else free


def draw_mask(free: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Each free token independently with probability `rate`, [batch, length] bool.

    Args:
        free: from `maskable`, [batch, length].
        rate: between 0 and 1.
        generator: a CPU stream (`kdrun.rng.stream`), so that the mask is the same on every device.
    """
    drawn = torch.rand(free.shape, generator=generator) < rate
    return drawn.to(free.device) & free


def gumbel(count: int, size: int, generator: np.random.Generator, device: torch.device) -> Tensor:
    """Standard Gumbel noise −log(−log u), [count, size] float32, from a CPU stream (`kdrun.rng.numpy_stream`).

    −log u is an exponential variate, which NumPy draws five times faster than torch does; it is kept off zero, as
    the authors' 1e-20 inside both logarithms does.
    """
    exponential = torch.from_numpy(generator.standard_exponential((count, size), dtype=np.float32))
    return exponential.clamp_min_(torch.finfo(torch.float32).tiny).log_().neg_().to(device)


def masked_logits(model: nn.Module, inputs: Inputs, mask: Tensor, mask_id: int | None, banned_ids: Tensor) -> Tensor:
    """A masked language model's logits at the masked positions, [masked, vocabulary] float32.

    Args:
        model: BERT, DistilBERT or RoBERTa with its language-model head.
        inputs: of the unmasked text.
        mask: positions to replace by the mask token and to predict, [batch, length] bool.
        mask_id: id of the mask token.
        banned_ids: ids it may never give (special ones), [k]: their logit is −inf.

    Raises:
        ModelError: another architecture, or no mask token.
    """
    kind = str(model.config.model_type)  # pyright: ignore[reportAttributeAccessIssue]
    if kind not in HEADS:
        raise ModelError(f"a generator of architecture {kind!r} is not known here; known: {', '.join(HEADS)}")
    if mask_id is None:
        raise ModelError(
            f"a generator of architecture {kind!r} fills masked tokens, and its vocabulary has no mask token"
        )
    masked = {**inputs, "input_ids": inputs["input_ids"].masked_fill(mask, mask_id)}
    masked.pop("prompt_mask", None)  # an encoder knows no prompts
    hidden = model.base_model(**masked).last_hidden_state[mask]  # pyright: ignore[reportCallIssue]
    logits = HEADS[kind](model, hidden).float()
    return logits.index_fill(1, banned_ids, -torch.inf)


def sample(logits: Tensor, noise: Tensor) -> Tensor:
    """The token ids that Gumbel-softmax chooses: argmax of logit plus noise, [masked] int64."""
    return (logits + noise).argmax(dim=-1)


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Token ids from the same distribution as `sample`, where no gradient is wanted: [masked] int64.

    One uniform number a token, looked up in the cumulative distribution, in place of a vocabulary's worth of Gumbel
    noise: all that a student turn needs of the straight-through sample. Ids of probability 0 are never given.

    Args:
        logits: [masked, vocabulary].
        generator: a CPU stream (`kdrun.rng.stream`), so that the draw is the same on every device up to rounding.
    """
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1)
    uniform = torch.rand(len(logits), 1, generator=generator).to(logits.device)
    # a uniform number is at most 1 - 2^-24, so its product stays below the total, and the lookup inside the vocabulary
    return torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)[:, 0]


def soften(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """The Gumbel-softmax relaxation softmax((logit + g) / τ), [masked, vocabulary]."""
    return ((logits + noise) / temperature).softmax(dim=-1)


def replaced(input_ids: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
    """The text with the masked positions filled by `ids` [masked], [batch, length]."""
    return input_ids.masked_scatter(mask, ids)


def soft_embeddings(model: nn.Module, input_ids: Tensor, mask: Tensor, ids: Tensor, soft: Tensor) -> Tensor:
    """Word embeddings of a text whose masked tokens are straight-through samples, [batch, length, hidden].

    The value is that of the discrete text: E[ids] at masked positions, E[x] elsewhere. The gradient is that of
    the soft tokens: ∂/∂y of y·E, with the model's own table E.

    Args:
        model: whose table; any architecture with `get_input_embeddings`.
        input_ids: the unmasked text, [batch, length].
        mask: [batch, length] bool.
        ids: the sampled tokens, [masked].
        soft: their relaxation, [masked, vocabulary], with a gradient.
    """
    embeddings = model.get_input_embeddings()  # pyright: ignore[reportCallIssue]
    # tables differ in length where vocabularies differ in entries that no text has, whose share is 0
    table = embeddings.weight[: soft.shape[1]]
    pulled = soft[:, : len(table)].to(table.dtype) @ table
    hard = embeddings(ids)
    # the value is exactly `hard`; only the gradient comes from the soft product
    filled = hard.detach() + pulled - pulled.detach()
    text = embeddings(input_ids)
    return text.masked_scatter(mask[..., None], filled.to(text.dtype))


def soft_inputs(model: nn.Module, inputs: Inputs, embeddings: Tensor) -> dict[str, Tensor]:
    """Keyword arguments that give a model these embeddings in place of ids.

    RoBERTa makes positions from ids, and numbers them through padding when it sees only embeddings; so they are
    given. (A generator never gives special ids, so the discrete text has the same ones.)
    """
    made = {name: value for name, value in inputs.items() if name != "input_ids"} | {"inputs_embeds": embeddings}
    config: Any = model.config
    if config.model_type == "roberta":
        present = inputs["input_ids"].ne(config.pad_token_id).long()
        made["position_ids"] = present.cumsum(dim=1) * present + config.pad_token_id
    return made
