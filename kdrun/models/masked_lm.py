"""Masked language modeling objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdrun import rng
from kdrun.config.model import PretrainConfig
from kdrun.errors import ModelError
from kdrun.losses import IGNORE_INDEX
from kdrun.models.families import mlm_head


class MaskedLMObjective:
    """Predict the masked tokens of a text.

    Attributes:
        unit: unit of the mean loss, in words.
        term: name of the loss term.
        source: what is learned from a teacher, in words; empty.

    Raises:
        ModelError: the tokenizer has no mask token.
    """

    unit, term, source = "per masked token", "cross_entropy", ""

    def __init__(self, config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, role: str) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError(f"{role}.pretrain needs a tokenizer with a mask token; set pretrain.steps=0")
        assert isinstance(tokenizer.pad_token_id, int)
        assert isinstance(tokenizer.mask_token_id, int)
        self.rate, self.pad, self.mask = config.mask_rate, tokenizer.pad_token_id, tokenizer.mask_token_id
        special = set(tokenizer.all_special_ids)
        self.special = torch.tensor(sorted(special))
        self.words = torch.tensor([i for i in range(len(tokenizer)) if i not in special])

    def settings(self, config: PretrainConfig) -> dict[str, Any]:
        """The settings of pretraining that matter; part of the cache key."""
        return {name: getattr(config, name) for name in ("steps", "batch_size", "max_length", "mask_rate", "lr")}

    def new(self, settings: PreTrainedConfig) -> PreTrainedModel:
        """A model with its language-model head and random weights."""
        return AutoModelForMaskedLM.from_config(settings)

    def loss(self, model: PreTrainedModel, ids: Tensor, seed: int, phase: str, step: int) -> tuple[Tensor, int]:
        """Cross-entropy of the chosen tokens of a batch; the head runs on those alone.

        Args:
            model: on any device.
            ids: rows padded to one length, [batch, length], on the CPU.
            seed: decides which tokens are chosen, together with the next two.
            phase: name of the random streams.
            step: number of the batch.

        Returns:
            The sum over the chosen tokens in nats, and their number.
        """
        generator = rng.stream(seed, "mask", phase, step)
        maskable = torch.isin(ids, self.special, invert=True)
        changed, targets = mask_tokens(ids, maskable, self.rate, self.mask, self.words, generator)
        changed, attention, targets = (t.to(model.device) for t in (changed, ids.ne(self.pad).long(), targets))
        hidden = model.base_model(input_ids=changed, attention_mask=attention).last_hidden_state
        chosen = targets != IGNORE_INDEX
        logits = mlm_head(model)(hidden[chosen]).float()
        return nn.functional.cross_entropy(logits, targets[chosen], reduction="sum"), len(logits)


def mask_tokens(
    ids: Tensor, maskable: Tensor, rate: float, mask_id: int, words: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mask tokens as BERT does: of the chosen ones 80 % become the mask token, 10 % another token, 10 % stay.

    Args:
        ids: [batch, length].
        maskable: true for tokens that are neither special nor padding, [batch, length].
        rate: share of maskable tokens to choose; at least one of the batch is chosen.
        mask_id: id of the mask token.
        words: ids that a random token may have, [n].
        generator: the random stream.

    Returns:
        The masked ids, and the targets: the original id of chosen tokens, -100 elsewhere.
    """
    chosen = (torch.rand(ids.shape, generator=generator) < rate) & maskable
    if not chosen.any():
        chosen.view(-1)[maskable.view(-1).nonzero()[:1]] = True
    fate = torch.rand(ids.shape, generator=generator)
    other = words[torch.randint(len(words), ids.shape, generator=generator)]
    masked = torch.where(chosen & (fate < 0.8), mask_id, ids)
    masked = torch.where(chosen & (fate >= 0.9), other, masked)
    return masked, torch.where(chosen, ids, IGNORE_INDEX)
