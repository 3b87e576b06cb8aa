"""Parameter counts, head prefixes and fingerprints of models."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdrun.data.tokenization import tokenizer_fingerprint
from kdrun.models.row_groups import grouping_of
from kdrun.storage.hashing import digest

VOLATILE = ("_name_or_path", "transformers_version", "architectures", "dtype")
"""Entries of a model's config about its origin, which do not change what it computes."""


def head_prefix(model: nn.Module) -> str:
    """Prefix of the weight names in a model's body, e.g. `bert.`; all other weights belong to its head."""
    return f"{model.base_model_prefix}."


def count_parameters(model: nn.Module) -> int:
    """Number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def model_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of the weights' bytes, the config and the tokenizer, 64 hex digits."""
    sums = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sums.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        # any dtype, bf16 included, has a view as bytes; NumPy would refuse some of them
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        sums.update(memoryview(flat.view(torch.uint8).numpy()))
    settings = {key: value for key, value in model.config.to_dict().items() if key not in VOLATILE}
    settings = {str(key): repr(value) for key, value in settings.items()}
    parts: dict[str, Any] = {"weights": sums.hexdigest(), "config": settings}
    parts["tokenizer"] = tokenizer_fingerprint(tokenizer)
    if grouping_of(model) == "length":  # outputs cached before rows were batched by length are wrong
        parts["grouping"] = "length"
    return digest(parts)
