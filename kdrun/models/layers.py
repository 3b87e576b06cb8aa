"""Students cut out of another model: its embeddings and some of its layers, as DistilBERT and PKD start."""

from __future__ import annotations

import copy
import re
from pathlib import Path

from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from kdrun.config import LayersOfConfig
from kdrun.errors import ModelError
from kdrun.models import labels, loading
from kdrun.models.built import BuildContext, Built, head_prefix, model_fingerprint, seeded

LAYER = re.compile(r"(?P<before>.*\blayer\.)(?P<index>\d+)(?P<after>\..*)")


def build(config: LayersOfConfig, context: BuildContext) -> Built:
    """A model with the chosen layers of its source, in the order given, and a new head.

    Raises:
        ModelError: no source, no layers, or layers that the source does not have.
    """
    source = _source(config, context)
    total = _num_layers(source, context.role)
    _check(config.layers, total, source.name, context.role)
    settings = copy.deepcopy(source.model.config)
    settings.num_hidden_layers = len(config.layers)
    labels.set_labels(settings, context.task)
    with seeded(context.seed, context.role):
        model = AutoModelForSequenceClassification.from_config(
            settings, attn_implementation=context.attn_implementation
        )
    body = head_prefix(model)
    state = select(source.model.state_dict(), config.layers)
    kept = {name: tensor for name, tensor in state.items() if name.startswith(body)}
    lacking = [name for name in model.load_state_dict(kept, strict=False).missing_keys if name.startswith(body)]
    if lacking:
        raise ModelError(
            f"{context.role}: {source.name} has other weights than its config makes ({', '.join(lacking[:3])}, …); "
            "cut layers from a BERT, DistilBERT or RoBERTa model"
        )
    name = f"layers {','.join(map(str, config.layers))} of {source.name}"
    return Built(model.eval(), source.tokenizer, name, model_fingerprint(model, source.tokenizer), False)


def select(state: dict[str, Tensor], layers: list[int]) -> dict[str, Tensor]:
    """A state dict with only these layers, renumbered from 0; all that is in no layer is kept."""
    new_index = {old: new for new, old in enumerate(layers)}
    chosen = {}
    for name, tensor in state.items():
        found = LAYER.fullmatch(name)
        if found is None:
            chosen[name] = tensor
        elif int(found["index"]) in new_index:
            chosen[f"{found['before']}{new_index[int(found['index'])]}{found['after']}"] = tensor
    return chosen


def _source(config: LayersOfConfig, context: BuildContext) -> Built:
    if config.path:
        return loading.from_folder(Path(config.path).expanduser(), context, replace_head=True)
    if context.teacher is None:
        raise ModelError(
            f"{context.role}=layers_of, and there is no teacher to cut layers from; name a folder with "
            f"{context.role}.path=FOLDER"
        )
    return context.teacher


def _num_layers(source: Built, role: str) -> int:
    indices = {int(found["index"]) for name in source.model.state_dict() if (found := LAYER.fullmatch(name))}
    if indices != set(range(_configured(source.model))):
        raise ModelError(
            f"{role}: the layers of {source.name} ({type(source.model).__name__}) are not numbered as in BERT, "
            "DistilBERT or RoBERTa, so none can be taken out; choose another student, e.g. student=scratch"
        )
    return len(indices)


def _configured(model: PreTrainedModel) -> int:
    return int(getattr(model.config, "num_hidden_layers", 0) or 0)


def _check(layers: list[int], total: int, name: str, role: str) -> None:
    if not layers:
        raise ModelError(f"{role}.layers is empty; name some of the layers 0 to {total - 1} of {name}")
    wrong = [layer for layer in layers if not 0 <= layer < total]
    if wrong:
        raise ModelError(
            f"{role}.layers={layers} asks for layer {wrong[0]} of a model with {total} layers ({name}); "
            f"they are numbered 0 to {total - 1}"
        )
    twice = sorted({layer for layer in layers if layers.count(layer) > 1})
    if twice:
        raise ModelError(f"{role}.layers={layers} names layer {twice[0]} more than once; name each layer once")
