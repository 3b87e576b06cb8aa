"""Masked language modelling objective."""

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
    """Give back the tokens that were masked.

    Attributes:
        unit: what the loss is a mean over, in words.

    Raises:
        ModelError: the tokenizer has no mask token.
    """

    unit = "a masked token"

    def __init__(self, config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, role: str) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError(f"{role}.pretrain needs a tokenizer with a mask token; set pretrain.steps=0")
        assert isinstance(tokenizer.pad_token_id, int)
        assert isinstance(tokenizer.mask_token_id, int)
        self.rate, self.pad, self.mask = config.mask_rate, tokenizer.pad_token_id, tokenizer.mask_token_id
        special = set(tokenizer.all_special_ids)
        self.special = torch.tensor(sorted(special))
        self.words = torch.tensor([i for i in range(len(tokenizer)) if i not in special])

    @staticmethod
    def settings(config: PretrainConfig) -> dict[str, Any]:
        """Which settings of pretraining play a part."""
        return {name: value for name, value in vars(config).items() if name != "mean_span"}

    def new(self, settings: PreTrainedConfig) -> PreTrainedModel:
        """A model with its language-model head and random weights."""
        return AutoModelForMaskedLM.from_config(settings)

    def loss(self, model: PreTrainedModel, ids: Tensor, seed: int, role: str, step: int) -> Tensor:
        """Mean cross-entropy over the chosen tokens of a batch; the head runs on those alone.

        Args:
            model: on any device.
            ids: rows padded to one length, [batch, length].
            seed: decides, with the next two, which tokens are chosen.
            role: see seed.
            step: see seed.
        """
        generator = rng.stream(seed, "mask", role, step)
        maskable = torch.isin(ids, self.special, invert=True)
        changed, targets = mask_tokens(ids, maskable, self.rate, self.mask, self.words, generator)
        changed, attention, targets = (t.to(model.device) for t in (changed, ids.ne(self.pad).long(), targets))
        hidden = model.base_model(input_ids=changed, attention_mask=attention).last_hidden_state
        chosen = targets != IGNORE_INDEX
        return nn.functional.cross_entropy(mlm_head(model)(hidden[chosen]).float(), targets[chosen])


def mask_tokens(
    ids: Tensor, maskable: Tensor, rate: float, mask_id: int, words: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """BERT's masking: of the chosen tokens 80 % become the mask, 10 % another token, 10 % stay.

    Args:
        ids: [batch, length].
        maskable: true for tokens that are neither special nor padding, [batch, length].
        rate: share of them that is chosen; at least one of the batch is.
        mask_id: id of the mask token.
        words: ids that a random token may be, [number].
        generator: decides all.

    Returns:
        The changed ids, and the targets: the original id where chosen, -100 elsewhere.
    """
    chosen = (torch.rand(ids.shape, generator=generator) < rate) & maskable
    if not chosen.any():
        chosen.view(-1)[maskable.view(-1).nonzero()[:1]] = True
    fate = torch.rand(ids.shape, generator=generator)
    other = words[torch.randint(len(words), ids.shape, generator=generator)]
    changed = torch.where(chosen & (fate < 0.8), mask_id, ids)
    changed = torch.where(chosen & (fate >= 0.9), other, changed)
    return changed, torch.where(chosen, ids, IGNORE_INDEX)
