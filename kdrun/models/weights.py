"""Read safetensors weights in fp32, with readable errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedConfig, PreTrainedModel

from kdrun.errors import ModelError
from kdrun.models.attention_choice import best_attention
from kdrun.models.bundle import BuildContext
from kdrun.models.hub_files import first_line, silence_transformers
from kdrun.rng import seeded_init


def load_model(
    auto: Any, folder: Path, where: str, config: PreTrainedConfig, context: BuildContext, attention: str
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Load a model, and report the weights that its checkpoint lacked.

    Args:
        auto: a model class, or one of transformers' Auto classes.
        folder: the checkpoint.
        where: config key and folder, for messages.
        config: the model's config.
        context: seed and role decide weights that the checkpoint lacks.
        attention: requested attention implementation.

    Returns:
        The model in fp32, and transformers' loading info.

    Raises:
        ModelError: the weights are damaged or not finite, or do not fit the class; or the class cannot give attention
            maps.
    """
    attention = best_attention(auto, config, attention, where)
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
        # a copy outside the file's memory map, where tensors have odd addresses and kernels round differently: a loaded
        # model must give the same numbers as the saved one
        parameter.data = parameter.data.clone()
    _check_finite(model, where)
    return model, info


def _check_finite(model: PreTrainedModel, where: str) -> None:
    """Refuse weights with NaN or infinite values, also where no text of the run would touch them.

    Raises:
        ModelError: some weights are not finite; names the first of them.
    """
    broken = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if broken:
        raise ModelError(
            f"{where}: {len(broken)} weights contain NaN or infinite values ({', '.join(broken[:3])}); the "
            "checkpoint is damaged, or its training diverged: use another one"
        )


def mismatched_weights(info: dict[str, Any]) -> set[str]:
    """Weights whose shape in the checkpoint differs from its config."""
    return {key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]}


def check_missing_weights(missing: set[str], where: str) -> None:
    """Check that a checkpoint has all weights of the body.

    Args:
        missing: weights that are missing or have another shape.
        where: config key and folder, for messages.

    Raises:
        ModelError: some weights are missing.
    """
    if missing:
        names = ", ".join(sorted(missing)[:4])
        raise ModelError(
            f"{where}: {len(missing)} weights of the body are missing or have a different shape in config.json "
            f"({names}, …), so they would be random; the weights and config.json belong to different checkpoints"
        )
