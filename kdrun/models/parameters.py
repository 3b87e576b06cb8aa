"""Parameter counts, head prefixes and fingerprints of models."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

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


def neutral_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """A copy of a config without what belongs to a task: its labels."""
    neutral = copy.deepcopy(config)
    neutral.id2label, neutral.label2id, neutral.problem_type = {0: "0", 1: "1"}, {"0": 0, "1": 1}, None
    return neutral


def sizes_of(config: PreTrainedConfig) -> dict[str, str]:
    """Entries of a config that decide what a model computes, as text, for cache keys."""
    return {str(key): repr(value) for key, value in sorted(config.to_dict().items()) if key not in VOLATILE}


def body_fingerprint(body: PreTrainedModel) -> str:
    """Hash of a model's weights and sizes, without its pooler and its task, 64 hex digits."""
    weights = {name: tensor for name, tensor in body.state_dict().items() if not name.startswith("pooler.")}
    return digest({"weights": _weights_digest(weights), "config": sizes_of(neutral_config(body.config))})


def model_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of the weights' bytes, the config and the tokenizer, 64 hex digits."""
    parts: dict[str, Any] = {"weights": _weights_digest(model.state_dict()), "config": sizes_of(model.config)}
    parts["tokenizer"] = tokenizer_fingerprint(tokenizer)
    if grouping_of(model) == "length":  # outputs cached before rows were batched by length are wrong
        parts["grouping"] = "length"
    return digest(parts)


def _weights_digest(weights: Mapping[str, Any]) -> str:
    """Hash of names, types, shapes and bytes."""
    sums = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sums.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        # any dtype, bf16 included, has a view as bytes; NumPy would refuse some of them
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        sums.update(memoryview(flat.view(torch.uint8).numpy()))
    return sums.hexdigest()
