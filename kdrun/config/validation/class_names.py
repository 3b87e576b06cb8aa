"""Rules for mappings of a checkpoint's class names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kdrun.config.model import LayersOfConfig, ModelConfig, ScratchConfig
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.config.validation.text_to_text import known_text_to_text_roles
from kdrun.errors import Problem, did_you_mean


def class_name_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Mappings of class names that would have no effect, or that name no class of the task."""
    text_to_text = known_text_to_text_roles(config, needs)
    for role in ("teacher", "student", "generator"):
        section = getattr(config, role)
        if not isinstance(section, ModelConfig) or not section.labels:
            continue
        key = f"{role}.labels"
        if not _is_mapping(section.labels):
            text = (
                f"{key} must be a mapping of names, {{name in the checkpoint: name in the task}}, got {section.labels}"
            )
            yield Problem(key, section.labels, text)
            continue
        reason = _no_effect(config, section, role) or (
            "text-to-text models have none" if text_to_text.get(role) else ""
        )
        if reason:
            yield Problem(key, dict(section.labels), f"{key} names classes of a checkpoint, and {reason}; leave it out")
            continue
        for name in section.labels.values():
            if name not in config.task.labels:
                classes = ", ".join(config.task.labels)
                text = f"{key}: task={config.task.name} has no class {name!r}{did_you_mean(name, config.task.labels)} "
                yield Problem(key, name, f"{text}(classes: {classes})")


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in (*value, *value.values()))


def _no_effect(config: RunConfig, section: ModelConfig, role: str) -> str:
    """Why a mapping would have no effect; empty where it has one."""
    if role == "generator":
        return "a generator has none"
    if not config.task.labels:
        return f"task={config.task.name} has none"
    if isinstance(section, LayersOfConfig) or (isinstance(section, ScratchConfig) and section.path is None):
        return f"{role}={section.name} builds a model with a new head"
    return ""
