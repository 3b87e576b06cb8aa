"""Registered builders of teacher, student and generator."""

from __future__ import annotations

from pathlib import Path

from kdrun.config.fields import MISSING
from kdrun.config.model import (
    BagOfWordsStudentConfig,
    LayersOfConfig,
    ModelConfig,
    NoGeneratorConfig,
    PretrainedConfig,
    ScratchConfig,
)
from kdrun.config.teacher import FineTune, PromptedTeacherConfig, TeacherOptions
from kdrun.errors import ModelError
from kdrun.models import from_checkpoint, from_config, from_layers, from_ngrams, prompted
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.registry import register


@register("teacher", "pretrained")
@register("student", "pretrained")
@register("generator", "pretrained")
def pretrained(config: PretrainedConfig, context: BuildContext) -> ModelBundle:
    """Load a checkpoint from a folder (`path`) or the hub (`hub`).

    Raises:
        ModelError: it cannot be loaded, or does not fit the task.
    """
    if config.path:
        return _from_path(config, context)
    if not config.hub or config.hub == MISSING:
        raise ModelError(
            f"{context.role}=pretrained needs a model: {context.role}.path=FOLDER, or {context.role}.hub=NAME"
        )
    replace_head = _may_replace(config, context)
    return from_checkpoint.from_hub(
        config.hub, config.revision, context, replace_head=replace_head, labels=config.labels
    )


@register("teacher", "scratch")
@register("student", "scratch")
@register("generator", "scratch")
def scratch_model(config: ScratchConfig, context: BuildContext) -> ModelBundle:
    """Build a model from its sizes, or load the folder `path` if one is named.

    Raises:
        ConfigError: the sizes are wrong.
        ModelError: the sizes do not fit together, or the folder cannot be loaded.
    """
    return _from_path(config, context) if config.path else from_config.build(config, context)


@register("teacher", "prompted")
def prompted_model(config: PromptedTeacherConfig, context: BuildContext) -> ModelBundle:
    """Load a causal language model that scores label words after a prompt.

    Raises:
        ModelError: it cannot be loaded, is not causal, or cannot tell the label words apart.
    """
    return prompted.build(config, context)


@register("student", "layers_of")
def layers_of(config: LayersOfConfig, context: BuildContext) -> ModelBundle:
    """Build a student from layers of the model in `path`, or of the teacher before its fine-tuning.

    Raises:
        ModelError: the source has no such layers, or there is no source.
    """
    return from_layers.build(config, context)


@register("student", "bow")
def bag_of_words(config: BagOfWordsStudentConfig, context: BuildContext) -> ModelBundle:
    """Build a linear classifier over hashed n-grams, or load the folder `path` if one is named.

    Raises:
        ModelError: its tokenizer does not fit, or the folder cannot be loaded.
    """
    return _from_path(config, context) if config.path else from_ngrams.build(config, context)


@register("generator", "none")
def no_generator(config: NoGeneratorConfig, context: BuildContext) -> None:
    """Build no generator."""


def _from_path(config: ModelConfig, context: BuildContext) -> ModelBundle:
    assert config.path is not None
    return from_checkpoint.from_folder(
        Path(config.path).expanduser(), context, replace_head=_may_replace(config, context), labels=config.labels
    )


def _may_replace(config: ModelConfig, context: BuildContext) -> bool:
    """Whether a head of another task may be replaced: a student is always trained, a teacher only on request."""
    if context.role == "teacher":
        return isinstance(config, TeacherOptions) and config.fine_tune is FineTune.always
    return True
