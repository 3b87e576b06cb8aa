"""Save a model and its tokenizer in plain transformers format."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdrun.models.bundle import ModelBundle
from kdrun.models.hub_files import silence_transformers


def save_pretrained(
    model: PreTrainedModel | ModelBundle, tokenizer: PreTrainedTokenizerBase | None, folder: Path
) -> None:
    """Save a model and its tokenizer for `from_pretrained`: safetensors in fp32, with label names.

    Args:
        model: a model, or a bundle, whose tokenizer is saved if none is given.
        tokenizer: the model's tokenizer.
        folder: created if missing.
    """
    if isinstance(model, ModelBundle):
        model, tokenizer = model.model, model.tokenizer if tokenizer is None else tokenizer
    with silence_transformers():
        model.save_pretrained(folder, state_dict=_plain_state(model))
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def _plain_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """Weights in fp32 on the CPU; tied ones stay one tensor, so that they are written once."""
    copies: dict[tuple[int, torch.Size], Tensor] = {}
    state = {}
    for name, tensor in model.state_dict().items():
        storage = (tensor.data_ptr(), tensor.shape)
        if storage not in copies:
            plain = tensor.detach().cpu()
            copies[storage] = plain.float() if plain.is_floating_point() else plain
        state[name] = copies[storage]
    return state
