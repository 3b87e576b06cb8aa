"""Greedy decoding of text-to-text models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from kdrun.errors import TrainingError


class _MustBeFinite(LogitsProcessor):
    """Stops where a logit is not finite, which an argmax would hide."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        if not bool(torch.isfinite(scores).all()):
            raise TrainingError(
                "the model gives logits that are not finite while it writes an answer: it has diverged; lower the "
                "learning rate, or try runtime.precision=fp32"
            )
        return scores


def greedy(model: Any, inputs: dict[str, Tensor], limit: int) -> tuple[Tensor, Tensor]:
    """What a T5 model writes when it takes the most probable token each time.

    Args:
        model: T5ForConditionalGeneration, in evaluation mode.
        inputs: `input_ids` and `attention_mask`, [batch, length]; what else a batch carries is left out.
        limit: most tokens, the end included.

    Returns:
        Token ids without the start, [batch, up to limit], padded behind each end; and whether the end was reached,
        [batch] bool.

    Raises:
        TrainingError: a logit is not finite.
    """
    ids = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=limit,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        logits_processor=LogitsProcessorList([_MustBeFinite()]),
    )[:, 1:]
    return ids, (ids == model.config.eos_token_id).any(dim=1)
