"""Build a model from sizes with random or pretrained weights."""

from __future__ import annotations

import inspect
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.activations import ACT2FN

from kdrun.config.architectures import Architecture
from kdrun.config.family_spec import FamilySpec
from kdrun.config.model import BagOfWordsStudentConfig, ScratchConfig, TokenizerSource
from kdrun.errors import ConfigError, ModelError, did_you_mean
from kdrun.models import (
    decoders,
    families,
    label_alignment,
    padding,
    pretrained_body,
    t5_tasks,
    text_tasks,
    tokenizer_training,
)
from kdrun.models.attention_choice import attention_note, best_attention
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import model_fingerprint
from kdrun.models.t5_base import TaskT5, init_t5
from kdrun.models.text_limits import check_positions
from kdrun.models.tokenizers import fitting_tokenizer
from kdrun.rng import seeded_init

FIXED = {
    "vocab_size": "the tokenizer decides it",
    "pad_token_id": "the tokenizer decides it",
    "bos_token_id": "the tokenizer decides it",
    "eos_token_id": "the tokenizer decides it",
    "cls_token_id": "the tokenizer decides it",
    "sep_token_id": "the tokenizer decides it",
    "decoder_start_token_id": "the tokenizer decides it",
    "is_decoder": "the family decides it",
    "is_encoder_decoder": "the family decides it",
    "add_cross_attention": "the family decides it",
    "use_cache": "the family decides it",
    "tie_word_embeddings": "they are always tied",
}
"""Arguments of the config classes that are not sizes, with the reason."""

MIN_POSITIONS = 128
"""Minimum number of positions, so that weights do not depend on data.max_length up to this length."""


def build(config: ScratchConfig, context: BuildContext) -> ModelBundle:
    """Build a model of the sizes in a config section.

    Raises:
        ConfigError: unknown sizes, or sizes out of range, all in one report.
        ModelError: the sizes do not fit together, or there is no teacher to take the vocabulary from.
    """
    problems = check_sizes(config.architecture, config.sizes, f"{context.role}.sizes")
    if problems:
        raise ConfigError(problems)
    tokenizer = _tokenizer(config, context)
    settings = model_config(config, tokenizer, context)
    trained = None
    if config.pretrain.steps:
        assert context.pretrain is not None, "a run can pretrain"
        trained = context.pretrain(settings, tokenizer, config.pretrain, context)
    model = _model(settings, tokenizer, context)
    notes = []
    if trained is not None:
        pretrained_body.copy_body(trained, model)
        notes.append(f"pretrained on {trained.corpus}: {trained.summary}")
    elif context.role == "generator":
        notes.append("the generator has random weights, so its text is noise; set generator.pretrain.steps=300 or more")
    tokenizer = fitting_tokenizer(tokenizer, model)
    notes += attention_note(model)
    # the other families, and decoders that write, ignore padding everywhere
    if config.architecture.spec.reads == "last_token" and not _writes(context):
        notes += padding.fit_batches(model, tokenizer, context.max_length, f"{context.role}.architecture")
    origin = f"scratch, {config.pretrain.steps} steps of pretraining" if trained else "scratch"
    name = f"{config.architecture.value} {settings.num_hidden_layers}x{settings.hidden_size} ({origin})"
    return ModelBundle(model, tokenizer, name, model_fingerprint(model, tokenizer), False, notes)


def check_sizes(architecture: Architecture, sizes: dict[str, Any], where: str) -> list[str]:
    """List sizes that the family does not have or that are out of range, one sentence each.

    The config classes of transformers silently accept a misspelled argument.

    Args:
        architecture: the family.
        sizes: arguments of its config class.
        where: key of the sizes, for messages.
    """
    names = _size_names(architecture)
    aliases = families.config_class(architecture).attribute_map | architecture.spec.size_names
    problems = []
    for name, value in sizes.items():
        own_name = aliases.get(name, name)
        if own_name != name and own_name in sizes:
            problems.append(
                f"{where}.{name}={value} and {where}.{own_name}={sizes[own_name]}: {architecture.value} calls both "
                f"{own_name}; set one of them"
            )
        elif own_name != name:
            problems += _check_value(f"{where}.{name}", own_name, value)
        elif name in FIXED:
            problems.append(f"{where}.{name} cannot be set: {FIXED[name]}")
        elif name not in names:
            problems.append(
                f"{where}.{name}: {architecture.value} has no such size{did_you_mean(str(name), names)} "
                f"(sizes: {', '.join(names)})"
            )
        else:
            problems += _check_value(f"{where}.{name}", name, value)
    return problems


def _size_names(architecture: Architecture) -> list[str]:
    cls = families.config_class(architecture)
    fields = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return sorted({*fields, *cls.attribute_map} - set(FIXED))


def _check_value(key: str, name: str, value: Any) -> list[str]:
    if name in ("hidden_act", "activation"):
        names = sorted(ACT2FN)
        return [] if value in names else [f"{key}={value}: unknown activation{did_you_mean(str(value), names)}"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []  # the config class checks types
    if "drop" in name:
        return [] if 0 <= value < 1 else [f"{key} must be >= 0 and < 1, got {value}"]
    return [] if value > 0 else [f"{key} must be > 0, got {value}"]


def model_config(config: ScratchConfig, tokenizer: PreTrainedTokenizerBase, context: BuildContext) -> PreTrainedConfig:
    """The transformers config of a section, completed by what the tokenizer and the task decide.

    Raises:
        ConfigError: a size has the wrong type.
        ModelError: the heads do not divide the width, or there are too few positions.
    """
    family, where = config.architecture.spec, f"{context.role}.sizes"
    pad = tokenizer.pad_token_id
    assert isinstance(pad, int)
    _check_padding_id(config.architecture, pad, context.role)
    arguments: dict[str, Any] = dict(family.sizes)
    if family.positions != "relative":
        room = max(MIN_POSITIONS, context.max_length, config.pretrain.max_length if config.pretrain.steps else 0)
        room += context.task.answer_tokens if _writes(context) else 0
        arguments["max_position_embeddings"] = room + (pad + 1 if family.positions == "after_padding" else 0)
    arguments |= {name: getattr(tokenizer, attribute) for name, attribute in family.special_ids.items()}
    sizes = {family.size_names.get(name, name): value for name, value in config.sizes.items()}
    arguments |= {**sizes, "vocab_size": len(tokenizer), "pad_token_id": pad}
    result = _make_config(config.architecture, arguments, where)
    if family.is_text_to_text:
        return result
    _check_heads(result, family, where)
    extra = context.task.answer_tokens if _writes(context) else 0
    check_positions(result, tokenizer, context.max_length + extra, where)
    room = result.max_position_embeddings - families.first_position(result, tokenizer)
    if config.pretrain.steps and config.pretrain.max_length > room:
        raise ModelError(
            f"{where}.max_position_embeddings={result.max_position_embeddings} is too small for "
            f"{context.role}.pretrain.max_length={config.pretrain.max_length}"
        )
    if context.role != "generator" and not _writes(context):
        label_alignment.set_labels(result, context.task)
    return result


def _writes(context: BuildContext) -> bool:
    """Whether the model writes answers, and is no classifier."""
    return context.task.is_text and context.role != "generator"


def _check_padding_id(architecture: Architecture, pad: int, role: str) -> None:
    fixed = architecture.spec.padding_id
    if fixed is not None and pad != fixed:
        raise ModelError(
            f"{role}.architecture={architecture.name} counts positions from padding id {fixed}, which its code fixes, "
            f"and the vocabulary pads with id {pad}; set {role}.tokenizer=corpus, or take another architecture"
        )


def _check_heads(config: PreTrainedConfig, family: FamilySpec, where: str) -> None:
    width, heads = config.hidden_size, config.num_attention_heads
    if width % heads:
        raise ModelError(
            f"{where}: {heads} attention heads do not divide a width of {width}; set {where}.{family.heads_key} "
            f"to one of {', '.join(str(n) for n in range(1, min(width, 64) + 1) if width % n == 0)}"
        )
    key_heads = getattr(config, "num_key_value_heads", None)
    if key_heads is not None and heads % key_heads:
        raise ModelError(
            f"{where}: {key_heads} key-value heads do not divide {heads} attention heads; set "
            f"{where}.num_key_value_heads to one of {', '.join(str(n) for n in range(1, heads + 1) if heads % n == 0)}"
        )


def _make_config(architecture: Architecture, arguments: dict[str, Any], where: str) -> PreTrainedConfig:
    try:
        return families.config_class(architecture)(**arguments)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError([f"{where}: {reason}"]) from None


def _tokenizer(config: ScratchConfig, context: BuildContext) -> PreTrainedTokenizerBase:
    tokenizer = base_tokenizer(config, config.architecture, context)
    if config.tokenizer is TokenizerSource.corpus:
        return tokenizer
    where = f"{context.role}.tokenizer=teacher"
    return tokenizer_training.for_family(tokenizer, config.architecture, context.max_length, where)


def base_tokenizer(
    config: ScratchConfig | BagOfWordsStudentConfig, architecture: Architecture, context: BuildContext
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model without weights: trained on the corpus for a family, or the teacher's.

    Raises:
        ModelError: there is no teacher, or its tokenizer has no padding token.
    """
    if config.tokenizer is TokenizerSource.corpus:
        return tokenizer_training.from_corpus(
            architecture, context.corpus(), config.vocab_size, context.max_length, context.role
        )
    if context.teacher is None:
        raise ModelError(
            f"{context.role}.tokenizer=teacher, and there is no teacher to take the vocabulary from; "
            f"set {context.role}.tokenizer=corpus"
        )
    if context.teacher.tokenizer.pad_token_id is None:
        raise ModelError(
            f"{context.role}.tokenizer=teacher: the tokenizer of {context.teacher.name} has no padding token; "
            f"set {context.role}.tokenizer=corpus"
        )
    return context.teacher.tokenizer


def _model(shape: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, context: BuildContext) -> PreTrainedModel:
    if families.is_text_to_text(shape):
        return _t5(shape, tokenizer, context)
    if _writes(context):
        return decoders.build(shape, tokenizer, context)
    auto = AutoModelForMaskedLM if context.role == "generator" else AutoModelForSequenceClassification
    attention = best_attention(auto, shape, context.attn_implementation, f"{context.role}.architecture")
    with seeded_init(context.seed, context.role):
        return auto.from_config(shape, attn_implementation=attention).eval()


def _t5(shape: T5Config, tokenizer: PreTrainedTokenizerBase, context: BuildContext) -> PreTrainedModel:
    generator = context.role == "generator"
    if not generator:
        text_tasks.check_prompts(context.task, context.role)
    model_class = T5ForConditionalGeneration if generator else t5_tasks.model_class(context.task)
    with seeded_init(context.seed, context.role):
        model = init_t5(model_class, shape)
    if isinstance(model, TaskT5):
        model.configure_for_task(context.task, tokenizer, context.label_mass_weight)
    return model
