"""Build a student from selected layers of another model."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kdrun.config.architectures import titles
from kdrun.config.model import LayersOfConfig
from kdrun.errors import ModelError
from kdrun.models import families, from_checkpoint, label_alignment, padding, pretrained_body, t5_base, t5_tasks
from kdrun.models.attention_choice import attention_note, best_attention
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import head_prefix, model_fingerprint
from kdrun.rng import seeded_init

SHARED_BIAS = "relative_attention_bias"
"""Position bias of a T5, which the first block of a stack holds for all blocks, whichever block is first.

Each block of a UMT5 has its own."""


def build(config: LayersOfConfig, context: BuildContext) -> ModelBundle:
    """Build a model from the selected layers of its source, in that order, with a new head.

    Of a T5, which has no head, these are the blocks of its encoder and of its decoder.

    Raises:
        ModelError: there is no source, no layer is selected, or the source does not have a layer.
    """
    source = _source(config, context)
    total = _num_layers(source, context.role)
    _check(config.layers, total, source.name, context.role)
    settings = copy.deepcopy(source.model.config)
    families.select_layer_settings(settings, config.layers)
    with seeded_init(context.seed, context.role):
        model, body = _untrained(settings, source.tokenizer, context)
    state = select(source.model.state_dict(), config.layers, families.layer_pattern(source.model.config))
    _copy(state, model, body, f"{context.role}.layers={config.layers} of {source.name}")
    name = f"layers {','.join(map(str, config.layers))} of {source.name}"
    notes = attention_note(model)
    if config.pretrain.steps:
        assert context.pretrain is not None, "a run can pretrain"
        start: Any = model.base_model
        trained = context.pretrain(settings, source.tokenizer, config.pretrain, context, start=start)
        pretrained_body.copy_body(trained, model)
        notes.append(f"pretrained on {trained.corpus}: {trained.summary}")
        name = f"{name}, {config.pretrain.steps} steps of pretraining"
    if not families.is_text_to_text(settings):
        notes += padding.fit_batches(model.eval(), source.tokenizer, context.max_length, f"{context.role}: {name}")
    return ModelBundle(model.eval(), source.tokenizer, name, model_fingerprint(model, source.tokenizer), False, notes)


def _copy(state: dict[str, Tensor], model: PreTrainedModel, body: str, where: str) -> None:
    """Copy the selected weights into the new model's body.

    Raises:
        ModelError: a layer has other weights than the layer whose place it takes, e.g. the first one of a ModernBERT.
    """
    copied = {name: tensor for name, tensor in state.items() if name.startswith(body)}
    keys = model.load_state_dict(copied, strict=False)
    misfits = [name for name in (*keys.missing_keys, *keys.unexpected_keys) if name.startswith(body)]
    if misfits:
        raise ModelError(
            f"{where}: a layer differs in its weights from the layer whose place it would take "
            f"({', '.join(misfits[:3])}); keep layer 0 first, or choose another student, e.g. student=scratch"
        )


def _untrained(
    settings: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, context: BuildContext
) -> tuple[PreTrainedModel, str]:
    """A model of these sizes with random weights, and the name prefix of its body's weights."""
    if families.is_text_to_text(settings):
        model = t5_base.init_t5(t5_tasks.model_class(context.task), settings)
        assert isinstance(model, t5_base.TaskT5)
        model.configure_for_task(context.task, tokenizer, context.label_mass_weight)
        return model, ""
    if context.task.is_text:
        raise ModelError(
            f"student=layers_of takes the layers of a T5 for task={context.task.name}, which is answered with text, "
            f"and the source is a {settings.model_type}; take student=scratch or student.path=FOLDER"
        )
    label_alignment.set_labels(settings, context.task)
    auto = AutoModelForSequenceClassification
    attention = best_attention(auto, settings, context.attn_implementation, context.role)
    model = auto.from_config(settings, attn_implementation=attention)
    return model, head_prefix(model)


def select(state: dict[str, Tensor], layers: list[int], pattern: re.Pattern[str]) -> dict[str, Tensor]:
    """A state dict with only the selected layers, renumbered from 0, and all weights that belong to no single layer.

    Args:
        state: weights of the source.
        layers: the layers, numbered from 0, in their new order.
        pattern: names of layer weights, from `kdrun.models.families.layer_pattern`.
    """
    new_index = {old: new for new, old in enumerate(layers)}
    matches = {name: pattern.fullmatch(name) for name in state}
    has_shared_bias = {match["index"] for name, match in matches.items() if match and SHARED_BIAS in name} == {"0"}
    selected = {}
    for name, tensor in state.items():
        match = matches[name]
        if match is None or (SHARED_BIAS in name and has_shared_bias):
            selected[name] = tensor
        elif int(match["index"]) in new_index:
            selected[f"{match['before']}{new_index[int(match['index'])]}{match['after']}"] = tensor
    return selected


def _source(config: LayersOfConfig, context: BuildContext) -> ModelBundle:
    if config.path:
        return from_checkpoint.from_folder(Path(config.path).expanduser(), context, replace_head=True)
    if context.teacher is None:
        raise ModelError(
            f"{context.role}=layers_of, and there is no teacher to take layers from; name a folder with "
            f"{context.role}.path=FOLDER"
        )
    return context.teacher


def _num_layers(source: ModelBundle, role: str) -> int:
    config: Any = source.model.config
    family, depth = families.family_of(config), families.depth(config)
    if family is not None and family.shared_layers and config.num_hidden_groups == 1:
        return depth
    decoders = getattr(config, family.decoder_depth_key) if family and family.decoder_depth_key else depth
    if decoders != depth:
        raise ModelError(
            f"{role}: {source.name} has {depth} layers in its encoder and {decoders} in its decoder, and {role}.layers "
            "selects the same ones of both; choose another student, e.g. student=scratch"
        )
    pattern = families.layer_pattern(config)
    indices = {int(match["index"]) for name in source.model.state_dict() if (match := pattern.fullmatch(name))}
    if indices != set(range(depth)) or (family is not None and family.shared_layers):
        raise ModelError(
            f"{role}: the layers of {source.name} ({type(source.model).__name__}) are not numbered as those of a "
            f"{titles()} or {titles(text_to_text=True)} model, so none can be selected; choose another student, e.g. "
            "student=scratch"
        )
    return depth


def _check(layers: list[int], total: int, name: str, role: str) -> None:
    if not layers:
        raise ModelError(f"{role}.layers is empty; name some of the layers 0 to {total - 1} of {name}")
    unknown = [layer for layer in layers if not 0 <= layer < total]
    if unknown:
        raise ModelError(
            f"{role}.layers={layers} asks for layer {unknown[0]} of a model with {total} layers ({name}); "
            f"they are numbered 0 to {total - 1}"
        )
    repeated = sorted({layer for layer in layers if layers.count(layer) > 1})
    if repeated:
        raise ModelError(f"{role}.layers={layers} names layer {repeated[0]} more than once; name each layer once")
