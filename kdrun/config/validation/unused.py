"""Settings without effect, because another setting excludes or overrules them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

from kdrun.config.optim import OptimizerConfig
from kdrun.config.schema import RunConfig
from kdrun.errors import Problem

PRECEDENCE = {"epochs": "steps", "warmup_ratio": "warmup_steps"}
"""Setting of an optimizer section → the setting that wins over it."""


def unused_settings(section: Any, prefix: str, names: Collection[str], reason: str) -> list[Problem]:
    """Settings of a section that have no effect and differ from their defaults.

    Args:
        section: a dataclass of the config.
        prefix: of its keys, e.g. `method.`.
        names: settings without effect.
        reason: why, as the end of a sentence, e.g. `with method.mode=infill`.
    """
    problems = []
    for item in dataclasses.fields(section):
        value = getattr(section, item.name)
        if item.name in names and value != item.default:
            key = f"{prefix}{item.name}"
            problems.append(Problem(key, value, f"{key}={value} has no effect {reason}; remove it"))
    return problems


def optimizer_sections(section: Any, prefix: str = "") -> Iterator[tuple[str, OptimizerConfig]]:
    """Every optimizer section of a config, with the prefix of its keys."""
    for item in dataclasses.fields(section):
        value, key = getattr(section, item.name), f"{prefix}{item.name}."
        if isinstance(value, OptimizerConfig):
            yield key, value
        elif dataclasses.is_dataclass(value):
            yield from optimizer_sections(value, key)


def optimizer_problems(config: RunConfig) -> Iterator[Problem]:
    """Settings of optimizer sections that their optimizer does not have."""
    for prefix, section in optimizer_sections(config):
        if section.name == "sgd":
            yield from unused_settings(section, prefix, ("beta2", "eps"), f"with {prefix}name=sgd")


def overruled_settings(config: RunConfig, given: Collection[str]) -> Iterator[Problem]:
    """Overrides that a value of the preset, the method or the experiment wins over.

    Args:
        config: composed with the overrides.
        given: keys of the overrides.
    """
    for prefix, section in optimizer_sections(config):
        for name, winner in PRECEDENCE.items():
            key, other = f"{prefix}{name}", f"{prefix}{winner}"
            value, overruling = getattr(section, name, None), getattr(section, winner, None)
            if key in given and other not in given and overruling is not None:
                text = (
                    f"{key}={value} has no effect, because {other} is {overruling} (a value of the preset or the "
                    f"experiment) and wins; add {other}=null"
                )
                yield Problem(key, value, text)
