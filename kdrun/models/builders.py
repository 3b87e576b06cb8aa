"""Registered builders of teacher, student and generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdrun.config.fields import MISSING
from kdrun.config.model import LayersOfConfig, ModelConfig, NoGeneratorConfig, PretrainedConfig, ScratchConfig
from kdrun.config.teacher import FineTune
from kdrun.errors import ModelError
from kdrun.models import from_checkpoint, from_config, from_layers
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.registry import register


@register("teacher", "pretrained")
@register("student", "pretrained")
@register("generator", "pretrained")
def pretrained(config: PretrainedConfig, context: BuildContext) -> ModelBundle:
    """A checkpoint from a folder (`path`) or the hub (`hub`).

    Raises:
        ModelError: it cannot be had, or does not fit.
    """
    if config.path:
        return _from_path(config, context)
    if not config.hub or config.hub == MISSING:
        raise ModelError(
            f"{context.role}=pretrained needs a model: {context.role}.path=FOLDER, or {context.role}.hub=NAME"
        )
    return from_checkpoint.from_hub(config.hub, config.revision, context, replace_head=_may_replace(config, context))


@register("teacher", "scratch")
@register("student", "scratch")
@register("generator", "scratch")
def scratch_model(config: ScratchConfig, context: BuildContext) -> ModelBundle:
    """A model built from its sizes; or the folder `path`, where one is named.

    Raises:
        KdrunError: the sizes are wrong, or the folder is.
    """
    return _from_path(config, context) if config.path else from_config.build(config, context)


@register("student", "layers_of")
def layers_of(config: LayersOfConfig, context: BuildContext) -> ModelBundle:
    """Chosen layers of the model in `path`, or of the teacher before its fine-tuning.

    Raises:
        ModelError: no such layers, or nothing to cut them from.
    """
    return from_layers.build(config, context)


@register("generator", "none")
def no_generator(config: NoGeneratorConfig, context: BuildContext) -> None:
    """No generator."""


def _from_path(config: ModelConfig, context: BuildContext) -> ModelBundle:
    assert config.path is not None
    return from_checkpoint.from_folder(
        Path(config.path).expanduser(), context, replace_head=_may_replace(config, context)
    )


def _may_replace(config: Any, context: BuildContext) -> bool:
    """Whether a head of another task may give way: a student is trained anyhow, a teacher only when asked."""
    if context.role == "teacher":
        return getattr(config, "fine_tune", None) is FineTune.always
    return True
