"""Choose the attention implementation of a model class."""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
)

from kdrun.config.architectures import titles
from kdrun.errors import ModelError
from kdrun.models import attention_maps
from kdrun.models.families import family_of

MAPPINGS = {
    AutoModelForMaskedLM: MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForCausalLM: MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForSequenceClassification: MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
}
FUSED = "sdpa"
"""PyTorch's fused attention, the default."""


def best_attention(auto: Any, config: PreTrainedConfig, requested: str, where: str) -> str:
    """The requested attention, or the plain one of a class that has no fused attention.

    Args:
        auto: a model class, or one of transformers' Auto classes.
        config: the model's config.
        requested: `sdpa`, or `kdrun.models.attention_maps.NAME`.
        where: config key and folder, for messages.

    Returns:
        The name of an implementation that the class supports: the requested one, or `eager`.

    Raises:
        ModelError: attention maps are requested from a decoder, or from a class whose attention cannot be replaced.
    """
    model_class = _model_class(auto, config)
    if model_class is None:
        return requested  # transformers reports a config without such a class
    if requested == attention_maps.NAME:
        family = family_of(config)
        if model_class.is_backend_compatible() and (family is None or family.reads == "masked"):
            return requested
        raise ModelError(
            f"{where}: the method reads attention maps of encoders whose attention kdrun can replace, and "
            f"{model_class.__name__} is none; take a {titles()} model"
        )
    return requested if getattr(model_class, "_supports_sdpa", False) else "eager"


def attention_note(model: PreTrainedModel) -> list[str]:
    """A note on the attention of a model without fused attention; empty for all others."""
    name = model.config._attn_implementation
    if name in (FUSED, attention_maps.NAME):
        return []
    return [f"attention implementation {name}: transformers has no fused attention (sdpa) for {type(model).__name__}"]


def _model_class(auto: Any, config: PreTrainedConfig) -> type[PreTrainedModel] | None:
    if auto not in MAPPINGS:
        return auto
    model_class = MAPPINGS[auto].get(type(config), None)
    return model_class[0] if isinstance(model_class, tuple) else model_class
