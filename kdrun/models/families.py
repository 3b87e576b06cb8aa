"""Config classes, heads, positions and layer names of model families.

The facts are in `kdrun.config.architectures`. A checkpoint of another family is served as far as its own names allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeGuard

from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedTokenizerBase, T5Config

from kdrun.config.architectures import Architecture, all_families, find_family, titles
from kdrun.config.family_spec import FamilySpec
from kdrun.errors import ModelError
from kdrun.models.parameters import head_prefix


def family_of(config: PreTrainedConfig) -> FamilySpec | None:
    """The entry of a model's family; None for a family without one."""
    return find_family(config.model_type)


def is_text_to_text(config: PreTrainedConfig) -> TypeGuard[T5Config]:
    """Whether a model answers with a text; every family that does is built on T5."""
    family = family_of(config)
    return family is not None and family.is_text_to_text


def config_class(architecture: Architecture) -> type[PreTrainedConfig]:
    """The config class of transformers."""
    return CONFIG_MAPPING[architecture.value]


def set_exact(config: PreTrainedConfig) -> list[str]:
    """Replace settings of a checkpoint with which an output would depend on the batch, in place; returns notes."""
    family, notes = family_of(config), []
    for name, value in (family.exact if family else {}).items():
        if getattr(config, name, None) != value:
            notes.append(f"{name} set to {value}; with {getattr(config, name, None)} an output depends on the batch")
            setattr(config, name, value)
    return notes


def first_position(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """The position id of a text's first token."""
    family = family_of(config)
    if family is None or family.positions != "after_padding":
        return 0
    for pad in (config.pad_token_id, tokenizer.pad_token_id):
        if isinstance(pad, int):
            return pad + 1
    return 1


def explicit_positions(config: PreTrainedConfig, input_ids: Tensor) -> dict[str, Tensor]:
    """Position ids that a model needs when it is called with embeddings instead of ids, as keyword arguments.

    RoBERTa derives positions from ids. From embeddings alone it would count padding too.

    Args:
        config: the model's.
        input_ids: of the text, [batch, length].
    """
    family = family_of(config)
    if family is None or family.positions != "after_padding":
        return {}
    present = input_ids.ne(config.pad_token_id).long()  # pyright: ignore[reportArgumentType]
    return {"position_ids": present.cumsum(dim=1) * present + config.pad_token_id}


def mlm_head(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The masked-language-model head alone, so that it need not run on every position.

    Args:
        model: a masked language model.

    Returns:
        A function from last hidden states [..., width] to logits [..., vocabulary].

    Raises:
        ModelError: a family whose head is not known.
    """
    config: Any = model.config
    family = family_of(config)
    if family is None or not family.mlm_head:
        raise ModelError(
            f"the masked-language-model head of a {config.model_type!r} model is not known; take a {titles()} model"
        )
    modules = [model.get_submodule(name) for name in family.mlm_head]

    def logits(hidden: Tensor) -> Tensor:
        for module in modules:
            hidden = module(hidden)
        return hidden

    return logits


def output_layer(model: nn.Module) -> tuple[nn.Module, str]:
    """The last linear layer of a classifier, whose outputs are the logits.

    Where the family's entry does not name it: the last linear layer outside the body that has as many outputs as the
    model has labels.

    Returns:
        The module that holds the layer, and the layer's name there.

    Raises:
        ModelError: there is no such layer.
    """
    config: Any = model.config
    outputs: int = config.num_labels
    family = family_of(config)
    path = family.output_layer if family else ""
    if not path and not is_text_to_text(config):
        path = _last_linear(model, outputs)
    if not path:
        raise ModelError(
            f"{type(model).__name__} has no linear layer with {outputs} outputs outside its body; take a {titles()} "
            "checkpoint"
        )
    holder, _, name = path.rpartition(".")
    return model.get_submodule(holder), name


def _last_linear(model: nn.Module, outputs: int) -> str:
    body = head_prefix(model)
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(body) and module.out_features == outputs
    ]
    return layers[-1] if layers else ""


def layer_pattern(config: PreTrainedConfig) -> re.Pattern[str]:
    """Names of weights that belong to one layer: groups `before`, `index` and `after`.

    A family without an entry may use any of the names that the others do.
    """
    family = family_of(config)
    lists = {family.layer_list} if family else {family.layer_list for family in all_families()}
    return re.compile(rf"(?P<before>.*?\b(?:{'|'.join(sorted(lists))})\.)(?P<index>\d+)(?P<after>\..*)")


PER_LAYER_KEYS = ("layer_types", "attention_layers", "mlp_layer_types")
"""Keys of a config that hold one value per layer."""


def depth(config: PreTrainedConfig) -> int:
    """Number of layers; of a model with two stacks, that of its encoder."""
    return int(getattr(config, "num_hidden_layers", 0) or 0)


def initializer_range(config: PreTrainedConfig) -> float:
    """Standard deviation of new weights; 0.02, as in BERT, where the config has none."""
    values = (getattr(config, name, None) for name in ("initializer_range", "init_std"))
    return next((float(value) for value in values if value is not None), 0.02)


def select_layer_settings(config: PreTrainedConfig, layers: list[int]) -> None:
    """Make a config describe a model of these layers alone, in place."""
    settings: Any = config
    family, old_depth = family_of(config), depth(config)
    for key in PER_LAYER_KEYS:
        values = getattr(settings, key, None)
        if isinstance(values, list) and len(values) == old_depth:
            setattr(settings, key, [values[layer] for layer in layers])
    if hasattr(settings, "attention_types"):  # of a GPT Neo, which derives its list from runs of equal layers
        settings.attention_types = [[[kind], 1] for kind in settings.attention_layers]
    settings.num_hidden_layers = len(layers)
    if family is not None and family.decoder_depth_key:
        setattr(settings, family.decoder_depth_key, len(layers))
