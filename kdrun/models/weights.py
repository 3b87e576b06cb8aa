"""Read safetensors weights in fp32, with readable errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedConfig, PreTrainedModel

from kdrun.errors import ModelError
from kdrun.models.bundle import BuildContext
from kdrun.models.hub_files import first_line, silence_transformers
from kdrun.rng import seeded_init


def read(
    auto: Any, folder: Path, where: str, config: PreTrainedConfig, context: BuildContext, attention: str
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """A model of a class (or of one of transformers' Auto classes), and what the checkpoint lacked for it.

    Raises:
        ModelError: the weights are damaged, or cannot be loaded so.
    """
    try:
        with silence_transformers(), seeded_init(context.seed, context.role):
            model, info = auto.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=attention,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise ModelError(f"{where}: the weights are damaged ({first_line(error)}); copy the folder again") from None
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ModelError(f"{where} cannot be loaded for the {context.role}: {first_line(error)}") from None
    for parameter in model.parameters():
        # out of the file's memory map, where tensors lie at odd addresses: kernels round differently there, and
        # a model read back must give the very numbers of the one that was saved
        parameter.data = parameter.data.clone()
    return model, info


def mismatched_weights(info: dict[str, Any]) -> set[str]:
    """The weights whose shape in the checkpoint is not what its config says."""
    return {key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]}


def check_missing_weights(lost: set[str], where: str) -> None:
    """Refuse a checkpoint without a part of the body.

    Raises:
        ModelError: with the names of the missing or misshapen weights.
    """
    if lost:
        some = ", ".join(sorted(lost)[:4])
        raise ModelError(
            f"{where}: {len(lost)} weights of the body are missing or have another shape than config.json says "
            f"({some}, …), so they would be random; the weights and config.json are not of one checkpoint"
        )
