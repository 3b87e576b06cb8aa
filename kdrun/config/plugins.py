"""Choices and schemas that plugins add to the config tree."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from kdrun import registry
from kdrun.config.data import CorpusConfig, DataConfig
from kdrun.config.loss import LOSS_SCHEMAS, LossConfig
from kdrun.config.model import ModelConfig
from kdrun.config.schema import SCHEMAS
from kdrun.config.task import TaskConfig
from kdrun.config.teacher import TeacherOptions
from kdrun.registry import Entry
from kdrun.storage.serialization import to_plain

REGISTRY_GROUPS = {
    "method": "method", "task": "task", "data": "data", "corpus": "corpus", "teacher": "teacher", "student": "student",
    "generator": "generator", "loss": "loss", "optim": "optimizer",
}  # fmt: skip
"""Axis of the config tree → group of the registry whose names are choices of it."""
BASES: dict[str, tuple[type, ...]] = {
    "data": (DataConfig,),
    "corpus": (CorpusConfig,),
    "teacher": (TeacherOptions, ModelConfig),
    "student": (ModelConfig,),
    "generator": (ModelConfig,),
    "loss": (LossConfig,),
}
"""Axis → base classes of the dataclass of a section; data, corpus and loss need no separate dataclass."""


def plugin_choices(axis: str) -> dict[str, Entry]:
    """Choices of an axis that plugins registered, by name. Components that cannot be used are named and skipped.

    Of methods all are listed: a module in `kdrun/methods` is a choice without a yaml too.
    """
    group = REGISTRY_GROUPS.get(axis)
    if group is None:
        return {}
    for name, entry in registry.plugin_entries(group).items():
        reason = _unusable(axis, name, entry)
        if reason is not None:
            registry.skip(group, name, reason)
    return registry.entries(group) if axis == "method" else registry.plugin_entries(group)


def section_schemas() -> dict[str, dict[str, type]]:
    """Schema of each registered choice of the sections that have several, those of plugins included."""
    losses = {name: LOSS_SCHEMAS.get(name, LossConfig) for name in ("auto", *registry.entries("loss"))}
    return {axis: schemas | _plugin_schemas(axis) for axis, schemas in (SCHEMAS | {"loss": losses}).items()}


def _plugin_schemas(axis: str) -> dict[str, type]:
    return {name: entry.config or BASES[axis][0] for name, entry in plugin_choices(axis).items()}


def plugin_node(axis: str, name: str) -> Any:
    """The section of a plugin's choice: its dataclass or values, with its name."""
    entry = plugin_choices(axis)[name]
    if axis == "task":
        return to_plain(plugin_task(name))
    if axis == "method":
        return entry.config
    if axis not in BASES:
        return {"name": name}
    section = OmegaConf.structured(entry.config or BASES[axis][0])
    section.name = name
    return section


def plugin_task(name: str) -> TaskConfig:
    """The task that a plugin's function returns."""
    task: TaskConfig = registry.plugin_entries("task")[name].target()
    task.name = name
    return task


def _unusable(axis: str, name: str, entry: Entry) -> str | None:
    """Why a plugin's component cannot be a choice of its axis, as the end of a sentence; None if it can."""
    if axis == "task":
        try:
            task = entry.target()
        except Exception as error:  # noqa: BLE001  a plugin may raise anything
            return f"its function raises {type(error).__name__}: {error}"
        if not isinstance(task, TaskConfig):
            return f"its function returns a {type(task).__name__}, not a kdrun.config.task.TaskConfig"
        return None
    bases = BASES.get(axis, ())
    needs_config = axis not in ("data", "corpus", "loss")
    if bases and (needs_config or entry.config is not None):
        config = entry.config
        if config is None or not issubclass(config, bases[0]) or not issubclass(config, bases[-1]):
            names = " and ".join(f"{base.__module__}.{base.__name__}" for base in bases)
            return f"its config=… must be a dataclass that extends {names}"
    return None
