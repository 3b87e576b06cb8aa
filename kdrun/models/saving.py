"""Save a model and its tokenizer in plain transformers format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdrun.models.bundle import ModelBundle
from kdrun.models.hub_files import silence_transformers


def save_pretrained(built: Any, tokenizer: PreTrainedTokenizerBase | None, folder: Path) -> None:
    """Write a model and its tokenizer as `from_pretrained` reads them: safetensors in fp32, with label names.

    Args:
        built: a model, or a `Built` (then its own tokenizer serves where none is given).
        tokenizer: the tokenizer to put beside it.
        folder: made if it is not there.
    """
    model = built.model if isinstance(built, ModelBundle) else built
    if tokenizer is None and isinstance(built, ModelBundle):
        tokenizer = built.tokenizer
    with silence_transformers():
        model.save_pretrained(folder, state_dict=_plain_state(model))
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def _plain_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The weights in fp32 on the CPU; tied ones stay one tensor, so that they are written once."""
    done: dict[tuple[int, torch.Size], Tensor] = {}
    state = {}
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape)
        if place not in done:
            plain = tensor.detach().cpu()
            done[place] = plain.float() if plain.is_floating_point() else plain
        state[name] = done[place]
    return state
