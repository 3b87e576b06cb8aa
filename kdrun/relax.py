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

BLOCK = 128
"""Ids of a vocabulary that are summed up together for a draw."""
ROWS_AT_ONCE = 16

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


def maskable_in_all(rows: Mapping[str, Inputs], special_ids: Tensor) -> dict[str, Tensor]:
    """The maskable tokens that several readings of one text have in common, in each of them.

    Models of one vocabulary may frame a text differently: an encoder's special tokens, a text-to-text model's prompts,
    and so another place where a long text is cut. Runs of maskable tokens answer to one another in order, and within a
    run its first token to the first.

    Args:
        rows: by role, `input_ids` and `attention_mask`, [batch, length] each (lengths may differ).
        special_ids: ids that never change, [k].

    Returns:
        By role, [batch, length] bool; a row has as many in every reading, the same tokens in the same order.
    """
    readings = {id(inputs): inputs for inputs in rows.values()}
    free = {key: maskable(inputs, special_ids) for key, inputs in readings.items()}
    if len(readings) > 1:
        tokens = {key: _by_run(inputs["input_ids"], free[key]) for key, inputs in readings.items()}
        runs = max(found.shape[1] for found, _ in tokens.values())
        width = max(found.shape[2] for found, _ in tokens.values())
        # a token that one reading lacks, or that another has differently, is in no reading's share
        grids = [
            nn.functional.pad(found, (0, width - found.shape[2], 0, runs - found.shape[1]), value=-1)
            for found, _ in tokens.values()
        ]
        same = (torch.stack(grids) == grids[0]).all(dim=0) & (grids[0] >= 0)
        for key, (_, (batch, run, place, column)) in tokens.items():
            free[key] = torch.zeros_like(free[key])
            free[key][batch, column] = same[batch, run, place]
    return {role: free[id(inputs)] for role, inputs in rows.items()}


def _by_run(ids: Tensor, free: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Free tokens by run and place in it, [batch, runs, longest], −1 elsewhere; of each its row, run, place, column."""
    starts = free & ~nn.functional.pad(free, (1, 0))[:, :-1]
    columns = torch.arange(free.shape[1], device=free.device).expand_as(free)
    first = torch.where(starts, columns, 0).cummax(dim=1).values
    batch, column = free.nonzero(as_tuple=True)
    run, place = (starts.cumsum(dim=1) - 1)[batch, column], (columns - first)[batch, column]
    shape = (len(ids), int(run.max()) + 1, int(place.max()) + 1) if len(run) else (len(ids), 1, 1)
    grid = ids.new_full(shape, -1)
    grid[batch, run, place] = ids[batch, column]
    return grid, (batch, run, place, column)


def moved(mask: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """A mask on one reading of a text as a mask on another.

    Args:
        mask: among the tokens `own`, [batch, length] bool.
        own: the tokens that both readings have in common, in the first, from `maskable_in_all`.
        other: the same tokens in the second, [batch, other length] bool.
    """
    if own is other:
        return mask
    found = torch.zeros_like(other)
    found[other] = mask[own]
    return found


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
    return logits.index_fill_(1, banned_ids, -torch.inf)  # in place: the head's own output, and large


def sample(logits: Tensor, noise: Tensor) -> Tensor:
    """The token ids that Gumbel-softmax chooses: argmax of logit plus noise, [masked] int64."""
    return (logits + noise).argmax(dim=-1)


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Token ids from the same distribution as `sample`, where no gradient is wanted: [masked] int64.

    Args:
        logits: [masked, vocabulary].
        generator: a CPU stream (`kdrun.rng.stream`), so that the draw is the same on every device up to rounding.
    """
    return drawn_at(logits, torch.rand(len(logits), generator=generator))


def drawn_at(logits: Tensor, uniform: Tensor) -> Tensor:
    """The tokens that uniform numbers choose, looked up in the cumulative distribution: [masked] int64.

    One number a token, in place of a vocabulary's worth of Gumbel noise: all that a student turn needs of the
    straight-through sample. Ids of probability 0 are never given.

    Args:
        logits: [masked, vocabulary].
        uniform: in [0, 1), with at most 24 bits, [masked].
    """
    uniform = uniform.to(logits.device)
    if not len(logits):
        return uniform.long()
    # a few rows at a time, which stay in the processor's cache
    parts = zip(logits.split(ROWS_AT_ONCE), uniform.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([_looked_up(some, wanted[:, None])[:, 0] for some, wanted in parts])


def _looked_up(logits: Tensor, uniform: Tensor) -> Tensor:
    """`drawn_at` for [rows, 1]: first the block of ids, by the blocks' sums, then the id in it, [rows, 1].

    A running sum over a whole vocabulary cannot be taken side by side, and costs more than all the rest.
    """
    size, blocks = logits.shape[1], logits.shape[1] // BLOCK
    weights = (logits - logits.amax(dim=1, keepdim=True)).exp_()
    whole = weights[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK)).sum(dim=-1)
    ends = torch.cat([whole, weights[:, blocks * BLOCK :].sum(dim=-1, keepdim=True)], dim=1).cumsum(dim=1)
    # a uniform number is at most 1 - 2^-24, so its product stays below the total, and the lookup inside the blocks
    wanted = uniform * ends[:, -1:]
    block = torch.searchsorted(ends, wanted, right=True)
    before = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0.0)
    ids = block * BLOCK + torch.arange(BLOCK, device=logits.device)
    inside = weights.gather(1, ids.clamp(max=size - 1)).masked_fill(ids >= size, 0.0).cumsum(dim=1)
    # rounding must not lead out of the block, nor to an id of probability 0
    below = torch.nextafter(inside[:, -1:], inside.new_zeros(()))
    return block * BLOCK + torch.searchsorted(
        inside, torch.minimum((wanted - before).clamp(min=0.0), below), right=True
    )


def soften(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """The Gumbel-softmax relaxation softmax((logit + g) / τ), [masked, vocabulary]."""
    return ((logits + noise) / temperature).softmax(dim=-1)


def replaced(input_ids: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
    """The text with the masked positions filled by `ids` [masked], [batch, length]."""
    return input_ids.masked_scatter(mask, ids)


def filled(inputs: Inputs, mask: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """A model's inputs with the masked positions of their text filled by `ids` [masked]."""
    return {**inputs, "input_ids": replaced(inputs["input_ids"], mask, ids)}


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
    text = embeddings(input_ids)
    filled = straight_through(embeddings.weight, ids, soft)
    return text.masked_scatter(mask[..., None], filled.to(text.dtype))


def straight_through(table: Tensor, ids: Tensor, soft: Tensor | None) -> Tensor:
    """Embeddings of sampled tokens whose gradient is that of soft ones, [n, hidden].

    Args:
        table: [entries, hidden]; entries that only one of table and `soft` has are never sampled.
        ids: the tokens, [n].
        soft: their relaxation, [n, vocabulary]; None leaves plain embeddings.
    """
    hard = table[ids]
    if soft is None:
        return hard
    shared = min(len(table), soft.shape[1])
    pulled = soft[:, :shared].to(table.dtype) @ table[:shared].detach()
    # the value is exactly `hard`; the sample's gradient comes from the soft product alone
    return hard + (pulled - pulled.detach())


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


def soft_logits(model: nn.Module, inputs: Inputs, mask: Tensor, ids: Tensor, soft: Tensor) -> Tensor:
    """A classifier's logits on a text whose masked tokens are straight-through samples, [batch, outputs].

    Arguments as `soft_embeddings` and `soft_inputs` take them.
    """
    embeddings = soft_embeddings(model, inputs["input_ids"], mask, ids, soft)
    return model(**soft_inputs(model, inputs, embeddings)).logits
