"""Fused attention that returns attention maps on request.

The fused attention of transformers gives no maps: `output_attentions=True` silently returns an empty tuple. Its
`eager` attention gives probabilities after dropout, and slows every pass. Models whose maps a method reads
(`requires.attentions`) are built with this attention, so that only the passes that ask for maps pay for them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kdrun.config.architectures import titles
from kdrun.data import transfer
from kdrun.errors import ModelError

NAME = "kdrun_maps"
"""Name of this attention in transformers: `attn_implementation=NAME`. No saved model has it in its config."""


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """One layer's attention: softmax(q·kᵀ/√d)·v, fused unless the model was called with `output_attentions=True`.

    Args:
        module: the layer; its mode decides dropout.
        query: [batch, heads, length, d].
        key: likewise.
        value: likewise.
        attention_mask: True (or a sum of 0) where a token may be attended to, broadcast to
            [batch, heads, length, length]; None for everywhere.
        dropout: rate on the probabilities.
        scaling: 1/√d by default.
        **options: keyword arguments of the model's call besides its inputs. `attention_maps="scores"` asks for the
            scores before the softmax, which TinyBERT compares; masked ones are the lowest number of the type.
            `"probabilities"`, the default, asks for the softmax before dropout.

    Returns:
        The output [batch, length, heads, d], and the maps [batch, heads, length, length] or None.

    Raises:
        ModelError: maps were requested from a layer that attends only to the left.
    """
    if not options.get("output_attentions"):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    if attention_mask is None and query.shape[2] > 1 and getattr(module, "is_causal", False):
        raise ModelError(
            f"{type(module).__name__} attends only to the left, and attention maps are read from encoders only; take a "
            f"{titles()} model"
        )
    scores = torch.matmul(query, key.transpose(2, 3)) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    probabilities = nn.functional.softmax(scores, dim=-1)
    dropped = nn.functional.dropout(probabilities, p=dropout, training=module.training)
    output = torch.matmul(dropped.to(value.dtype), value).transpose(1, 2).contiguous()
    return output, scores if options.get("attention_maps") == "scores" else probabilities


def mask(*args: Any, **options: Any) -> Tensor | None:
    """The mask of transformers for fused attention; for a batch on a GPU always a tensor.

    For a batch without padding, transformers leaves out the mask. To find out, it reads the padding mask on the host,
    and so waits for the GPU in every pass of every model.
    """
    padding = options.get("attention_mask")
    if isinstance(padding, Tensor) and transfer.reads_wait(padding.device):
        options["allow_is_bidirectional_skip"] = False
    return sdpa_mask(*args, **options)


AttentionInterface.register(NAME, attention)
for implementation in (NAME, "sdpa"):
    AttentionMaskInterface.register(implementation, mask)
