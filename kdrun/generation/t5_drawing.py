"""Sampling from T5 without a gradient.

The tokens are those of `kdrun.generation.t5_sampling` without a temperature. Logits are not kept, and a text that has
ended needs none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun.generation import gumbel, masking, span_infilling, t5_sampling
from kdrun.generation.generated_tokens import DrawnTokens
from kdrun.generation.span_infilling import T5SpecialIds
from kdrun.generation.t5_sampling import LengthLimits


@torch.no_grad()
def draw_infilling(
    model: nn.Module,
    inputs: masking.Inputs,
    mask: Tensor,
    prompt: masking.Inputs,
    special_ids: T5SpecialIds,
    stream: np.random.Generator,
) -> DrawnTokens:
    """Fill spans of a text, in one pass; arguments as for `kdrun.generation.t5_sampling.infill`."""
    ids, attention = inputs["input_ids"], inputs["attention_mask"]
    infilling = span_infilling.build_infilling_inputs(ids, attention, mask, prompt, special_ids)
    logits = t5_sampling.infill_logits(model, infilling, special_ids.banned)
    drawn = gumbel.inverse_cdf_sample(logits, _uniform(stream, len(logits)))
    return DrawnTokens(masking.fill_masked_ids(ids, mask, drawn), attention.bool(), mask)


@torch.no_grad()
def draw_texts(
    model: nn.Module,
    inputs: masking.Inputs,
    prompt: masking.Inputs,
    special_ids: T5SpecialIds,
    lengths: LengthLimits,
    stream: np.random.Generator,
) -> DrawnTokens:
    """Generate new texts token by token; arguments as for `kdrun.generation.t5_sampling.decode`.

    The head and the sampling, which take most of the time of a small model, run on texts that have not ended.
    """
    t5: Any = model
    source, attention = t5_sampling.encoder_inputs(inputs, prompt, special_ids)
    encoded = t5.encoder(input_ids=source, attention_mask=attention).last_hidden_state
    table, count, cache, columns = t5.get_input_embeddings().weight, len(source), None, []
    embeddings = table[t5_sampling.decoder_start(special_ids, count)]
    active = torch.ones(count, dtype=torch.bool, device=source.device)
    for step in range(lengths.max_tokens):
        out = t5_sampling.decode_token(t5, embeddings, encoded, attention, cache)
        cache, numbers = out.past_key_values, _uniform(stream, count)
        logits = t5_sampling.lm_logits(t5, out.last_hidden_state[active, -1])
        logits = t5_sampling.mask_banned(logits, special_ids, may_end=step >= lengths.min_tokens)
        ids = torch.full_like(source[:, 0], special_ids.end)
        ids[active] = gumbel.inverse_cdf_sample(logits, numbers[active.cpu()])
        columns.append(ids)
        active = ids != special_ids.end
        if not bool(active.any()):
            break
        embeddings = table[ids][:, None]
    text = torch.stack(columns, dim=1)
    present = text != special_ids.end
    width = int(present.sum(dim=1).max())
    text, present = text.masked_fill(~present, special_ids.start)[:, :width], present[:, :width]
    return DrawnTokens(text, present, present)


def _uniform(stream: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(stream.random(count, np.float32))
