"""Save a model and its tokenizer in plain transformers format."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import errors as hub_errors
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdrun.errors import ModelError
from kdrun.models.bundle import ModelBundle
from kdrun.models.hub_files import silence_transformers
from kdrun.storage.cache import cache_root


def save_pretrained(
    model: PreTrainedModel | ModelBundle,
    tokenizer: PreTrainedTokenizerBase | None,
    folder: Path,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Save a model and its tokenizer for `from_pretrained`: safetensors in fp32, with label names.

    Args:
        model: a model, or a bundle, whose tokenizer is saved if none is given.
        tokenizer: the model's tokenizer.
        folder: created if missing.
        weights: those of the model, where they are divided among processes (`state_tensors.complete_tensors`).
    """
    if isinstance(model, ModelBundle):
        model, tokenizer = model.model, model.tokenizer if tokenizer is None else tokenizer
    with silence_transformers():
        model.save_pretrained(folder, state_dict=_plain_state(model.state_dict() if weights is None else weights))
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def check_savable(bundle: ModelBundle, role: str) -> None:
    """Save a model's config and tokenizer into a temporary folder, so that saving does not fail after its training.

    Raises:
        ModelError: transformers refuses to save the model.
    """
    cache_root().mkdir(parents=True, exist_ok=True)  # a run writes nowhere else
    with tempfile.TemporaryDirectory(prefix=".check-", dir=cache_root()) as folder, silence_transformers():
        try:
            bundle.model.save_pretrained(folder, state_dict={})  # without weights
            bundle.tokenizer.save_pretrained(folder)
        except (OSError, TypeError, ValueError, AttributeError, hub_errors.StrictDataclassError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"the {role} ({bundle.name}) could be trained but not saved: {reason}; correct config.json, "
                "generation_config.json or the tokenizer's files in the checkpoint's folder"
            ) from None


def _plain_state(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in fp32 on the CPU; tied ones stay one tensor, so that they are written once."""
    copies: dict[tuple[int, torch.Size], Tensor] = {}
    state = {}
    for name, tensor in weights.items():
        storage = (tensor.data_ptr(), tensor.shape)
        if storage not in copies:
            plain = tensor.detach().cpu()
            copies[storage] = plain.float() if plain.is_floating_point() else plain
        state[name] = copies[storage]
    return state
