"""Texts that a language model writes after a prompt (ZeroGen)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdrun import rng


@dataclass(frozen=True)
class Sampling:
    """How continuations are drawn.

    Attributes:
        max_new_tokens: longest continuation.
        top_p: the smallest set of tokens with this much probability is drawn from; 1 is all tokens.
        temperature: divides the logits.
        batch_size: continuations per pass.
        seed: of the draws.
    """

    max_new_tokens: int
    top_p: float
    temperature: float
    batch_size: int
    seed: int


def continuations(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, purpose: str, sampling: Sampling
) -> Iterator[list[str]]:
    """Batches of continuations of one prompt, without end.

    The draws of a batch depend on the seed, the purpose and its number.

    Args:
        model: a causal or text-to-text language model in eval mode.
        tokenizer: of the model.
        prompt: the same for every row, so that no row is padded.
        purpose: e.g. the class that the prompt asks for.
        sampling: how to draw.
    """
    language_model: Any = model
    ids = torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device)
    if not model.config.is_encoder_decoder and ids[0, -1] == tokenizer.eos_token_id:
        ids = ids[:, :-1]  # some tokenizers end every text
    ids = ids.expand(sampling.batch_size, -1)
    start, number = 0 if model.config.is_encoder_decoder else ids.shape[1], 0
    while True:
        rng.seed_dropout(rng.derive(sampling.seed, "write", purpose, number), model.device)
        with torch.inference_mode():
            written = language_model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                num_beams=1,
                top_k=0,
                top_p=sampling.top_p,
                temperature=sampling.temperature,
                max_new_tokens=sampling.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
        yield tokenizer.batch_decode(written[:, start:], skip_special_tokens=True)
        number += 1


def complete_text(continuation: str, min_words: int) -> str:
    """The part of a continuation that is a text; empty if it has none, or fewer words [code].

    The text ends before the first quotation mark, else before the first line end, else after the last full stop.
    """
    for mark in ('"', "\n"):
        if mark in continuation:
            text = continuation.partition(mark)[0]
            break
    else:
        text = continuation[: continuation.rfind(".") + 1]
    text = " ".join(text.split())
    return text if len(text.split()) >= max(1, min_words) else ""
