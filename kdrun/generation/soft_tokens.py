"""Soft tokens as differentiable input embeddings of any model.

Adversarial text (MATE-KD, arXiv 2105.05912; ZSKD, arXiv 2012.15495) in its cheapest form: the language-model head and
the noise are computed at masked positions only, and a soft token enters a model as one row of `y @ table`, never as a
one-hot matrix of the whole text. The values equal those of the textbook form (tested). Values per masked token have
one flat index, in the order of `mask.nonzero()`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kdrun.errors import ModelError
from kdrun.generation.masking import Inputs
from kdrun.models import families


def masked_logits(model: nn.Module, inputs: Inputs, mask: Tensor, mask_id: int | None, banned_ids: Tensor) -> Tensor:
    """A masked language model's logits at the masked positions, [masked, vocabulary] float32.

    Args:
        model: a masked language model.
        inputs: of the unmasked text.
        mask: positions to replace by the mask token and to predict, [batch, length] bool.
        mask_id: id of the mask token.
        banned_ids: ids that are never generated (special ones), [k]: their logit is −inf.

    Raises:
        ModelError: a family without a known head, or no mask token.
    """
    head = families.mlm_head(model)
    if mask_id is None:
        raise ModelError(
            f"{type(model).__name__} fills masked tokens as a generator, and its vocabulary has no mask token"
        )
    masked = {**inputs, "input_ids": inputs["input_ids"].masked_fill(mask, mask_id)}
    masked.pop("prompt_mask", None)  # an encoder knows no prompts
    hidden = model.base_model(**masked).last_hidden_state[mask]  # pyright: ignore[reportCallIssue]
    logits = head(hidden).float()
    return logits.index_fill_(1, banned_ids, -torch.inf)  # in place: the head's own output, and large


def soft_embeddings(model: nn.Module, input_ids: Tensor, mask: Tensor, ids: Tensor, soft: Tensor) -> Tensor:
    """Word embeddings of a text whose masked tokens are straight-through samples, [batch, length, hidden].

    The value is that of the discrete text: E[ids] at masked positions, E[x] elsewhere. The gradient is that of
    the soft tokens: ∂/∂y of y·E, with the embedding table E of the model.

    Args:
        model: any architecture with `get_input_embeddings`.
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
    """Embeddings of sampled tokens with the gradient of soft tokens, [n, hidden].

    Args:
        table: [entries, hidden]; entries beyond the shorter of table and `soft` are never sampled.
        ids: the tokens, [n].
        soft: their relaxation, [n, vocabulary]; None leaves plain embeddings.
    """
    hard = table[ids]
    if soft is None:
        return hard
    shared = min(len(table), soft.shape[1])
    mixed = soft[:, :shared].to(table.dtype) @ table[:shared].detach()
    # the value is exactly `hard`; the gradient of the sample comes from the soft product alone
    return hard + (mixed - mixed.detach())


def soft_inputs(model: nn.Module, inputs: Inputs, embeddings: Tensor) -> dict[str, Tensor]:
    """Keyword arguments that pass embeddings to a model instead of ids.

    A family that derives positions from ids gets them too. (A generator never gives special ids, so the discrete text
    has the same positions.)
    """
    config: Any = model.config
    others = {name: value for name, value in inputs.items() if name != "input_ids"}
    return others | {"inputs_embeds": embeddings} | families.explicit_positions(config, inputs["input_ids"])


def soft_logits(model: nn.Module, inputs: Inputs, mask: Tensor, ids: Tensor, soft: Tensor) -> Tensor:
    """A classifier's logits on a text whose masked tokens are straight-through samples, [batch, outputs].

    Arguments as for `soft_embeddings` and `soft_inputs`.
    """
    embeddings = soft_embeddings(model, inputs["input_ids"], mask, ids, soft)
    return model(**soft_inputs(model, inputs, embeddings)).logits
