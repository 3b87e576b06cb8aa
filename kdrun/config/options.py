"""Parse `key=value` words into a dataclass of settings, for subcommands."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config import overrides
from kdrun.config.fields import validate_ranges
from kdrun.errors import ConfigError, did_you_mean

S = TypeVar("S")


def parse_options(schema: type[S], words: list[str], *, others: bool = False) -> tuple[S, list[str]]:
    """Read `key=value` words into a dataclass made of `setting` fields.

    A value may name several things, `method=kd,finetune`, where the field is a list.

    Args:
        schema: the verb's settings.
        words: the command line after the verb.
        others: whether words with other keys are left for the run's own config; otherwise they are unknown.

    Returns:
        The settings, and the words that were left.

    Raises:
        ConfigError: with every problem found.
    """
    names = [item.name for item in dataclasses.fields(schema)]  # pyright: ignore[reportArgumentType]
    node, rest, problems = OmegaConf.structured(schema), [], []
    for word in words:
        key, mark, _ = word.partition("=")
        if key not in names:
            if not others:
                hint = f"{did_you_mean(key, names)} (allowed: {', '.join(names) or 'none'})"
                problems.append(f"{word}: unknown key{hint}" if mark else f"{word}: write key=value{hint}")
            rest.append(word)
            continue
        override = overrides.parse_override(word)
        if isinstance(override, str):
            problems.append(override)
            continue
        try:
            OmegaConf.update(node, key, _value(override, is_list=_is_list(node, key)))
        except OmegaConfBaseException as error:
            problems.append(f"{word}: {str(error).splitlines()[0]}")
    missing = sorted(OmegaConf.missing_keys(node))
    docs = {item.name: item.metadata["doc"] for item in dataclasses.fields(schema)}  # pyright: ignore[reportArgumentType]
    problems += [f"{name} is required: {docs[name]}; set it with {name}=…" for name in missing]
    if problems:
        raise ConfigError(problems)
    made: Any = OmegaConf.to_object(node)
    problems = list(validate_ranges(made))
    if problems:
        raise ConfigError(problems)
    return made, rest


def _is_list(node: Any, key: str) -> bool:
    return OmegaConf.is_list(node._get_node(key))


def _value(override: Override, *, is_list: bool) -> Any:
    """The value of one word; several, parted by commas, for a list."""
    if override.is_sweep_override():
        values = overrides.override_values(override)
        return values if is_list else ",".join(values)
    value = override.value()
    return [value] if is_list and not isinstance(value, list) else value
