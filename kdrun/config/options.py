"""Parse `key=value` arguments of a subcommand into a dataclass of settings."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, cast

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config import overrides
from kdrun.config.fields import validate_ranges
from kdrun.errors import ConfigError, Problem, did_you_mean
from kdrun.formatting import first_line

S = TypeVar("S")


def parse_options(schema: type[S], args: list[str], *, others: bool = False) -> tuple[S, list[str]]:
    """Parse `key=value` arguments into a dataclass made of `setting` fields.

    A field that is a list takes several values: `method=kd,finetune`.

    Args:
        schema: the options of the subcommand.
        args: the command line after the subcommand.
        others: whether arguments with other keys are left for the run's config; otherwise they are unknown.

    Returns:
        The options, and the arguments that are left.

    Raises:
        ConfigError: every problem found.
    """
    names = [item.name for item in dataclasses.fields(schema)]  # pyright: ignore[reportArgumentType]
    raw_names = {item.name for item in dataclasses.fields(schema) if item.metadata["raw"]}  # pyright: ignore[reportArgumentType]
    node, rest, problems, raw_values = OmegaConf.structured(schema), [], [], dict[str, str]()
    for arg in args:
        key, mark, value = arg.partition("=")
        if key not in names:
            if not others:
                hint = f"{did_you_mean(key, names)} (allowed: {', '.join(names) or 'none'})"
                text = f"{arg}: unknown key{hint}" if mark else f"{arg}: write key=value{hint}"
                problems.append(Problem(key, value, text))
            rest.append(arg)
            continue
        if key in raw_names:
            raw_values[key] = value
            continue
        override = overrides.parse_override(arg)
        if isinstance(override, Problem):
            problems.append(override)
            continue
        try:
            OmegaConf.update(node, key, _value(override, is_list=_is_list(node, key)))
        except OmegaConfBaseException as error:
            problems.append(Problem(key, value, f"{arg}: {first_line(str(error))}"))
    missing = sorted(OmegaConf.missing_keys(node))
    docs = {item.name: item.metadata["doc"] for item in dataclasses.fields(schema)}  # pyright: ignore[reportArgumentType]
    problems += [Problem(name, None, f"{name} is required: {docs[name]}; set it with {name}=…") for name in missing]
    if problems:
        raise ConfigError(problems)
    options: Any = dataclasses.replace(cast(Any, OmegaConf.to_object(node)), **raw_values)
    problems = list(validate_ranges(options))
    if problems:
        raise ConfigError(problems)
    return options, rest


def _is_list(node: Any, key: str) -> bool:
    return OmegaConf.is_list(node._get_node(key))


def _value(override: Override, *, is_list: bool) -> Any:
    """The value of an override; comma-separated values become a list where the field is one."""
    if override.is_sweep_override():
        values = overrides.override_values(override)
        return values if is_list else ",".join(values)
    value = override.value()
    return [value] if is_list and not isinstance(value, list) else value
