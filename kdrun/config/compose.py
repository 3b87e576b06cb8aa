"""Compose the configuration of a run and report every problem at once.

Hydra composes and would stop at the first mistake with a traceback, so every override is tried on its own
first. Nothing here imports torch.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import cache, lru_cache
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from kdrun import registry
from kdrun.config import domains, schema
from kdrun.config.overrides import is_hydra, override_values, parse_override
from kdrun.config.paths import CONF_DIR
from kdrun.config.requirements import requirements_of
from kdrun.config.schema import RunConfig
from kdrun.config.validation.rules import validate
from kdrun.errors import ConfigError, did_you_mean

NOT_CHOICES = {"budget", "pace", "tune"}
"""Folders that `preset` reaches into by itself, by the name of the task, of the student and of the method."""


def groups() -> list[str]:
    """The axes of the config tree: `method`, `task`, …"""
    return sorted(p.name for p in CONF_DIR.iterdir() if p.is_dir() and p.name not in NOT_CHOICES)


def choices(group: str) -> list[str]:
    """The choices of an axis: its yaml files, and for methods those that plugins registered."""
    names = {p.stem for p in (CONF_DIR / group).glob("*.yaml")}
    if group == "method":
        names |= set(registry.entries("method"))
    return sorted(names)


@cache
def register_schemas() -> None:
    """Tell Hydra the dataclass behind every section; a plugin's method needs no yaml, its defaults serve."""
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    for group, choices in schema.SCHEMAS.items():
        for name, node in choices.items():
            store.store(group=f"schema/{group}", name=name, node=node, package=group)
    for name, entry in registry.entries("method").items():
        store.store(group="schema/method", name=name, node=entry.config, package="method")
        if not (CONF_DIR / "method" / f"{name}.yaml").exists():
            store.store(group="method", name=name, node=entry.config)


def compose(overrides: list[str]) -> DictConfig:
    """Compose without checking; raises what Hydra raises.

    Hydra takes a sixth of a second, and who checks words composes them before they are used: what was composed is kept.
    """
    register_schemas()
    return copy.deepcopy(_composed(tuple(overrides)))


@lru_cache(maxsize=64)
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(config_dir=str(CONF_DIR), version_base="1.3"):
        return hydra_compose("config", overrides=list(overrides))


def to_config(composed: DictConfig) -> RunConfig:
    """The dataclasses of a composed config; from here on only these travel.

    The one place where a run's task becomes the task by domain, for a method that asks for domains.
    """
    result = OmegaConf.to_object(composed)
    assert isinstance(result, RunConfig)
    if requirements_of(result).domains or domains.uses_domains(result.method):
        result.task = domains.by_domain_task(result.task)
    return result


def load_config(overrides: list[str]) -> RunConfig:
    """Compose and check.

    Raises:
        ConfigError: with every problem found.
    """
    problems = validate_overrides(overrides, multirun=False)
    if problems:
        raise ConfigError(problems)
    return to_config(compose(overrides))


def validate_overrides(overrides: list[str], *, multirun: bool) -> list[str]:
    """Every problem of a command line, as sentences; empty when there is none."""
    problems: list[str] = []
    choices: list[tuple[str, list[str]]] = []
    values: list[tuple[Override, list[str]]] = []
    hydras: list[str] = []
    known = groups()
    for text in overrides:
        override = parse_override(text)
        if isinstance(override, str):
            problems.append(override)
            continue
        words = override_values(override)
        if is_hydra(override):
            hydras.append(text)
            continue
        if len(words) > 1 and not multirun:
            problems.append(f"{text} names {len(words)} values: add -m to run each of them")
        elif override.key_or_group in known:
            choices.append((override.key_or_group, _known_choices(override.key_or_group, words, problems)))
        else:
            values.append((override, words))
    choices = [(group, names) for group, names in choices if names]
    if hydras:
        _compose_or_explain(hydras, problems)
    first = [f"{group}={names[0]}" for group, names in choices]
    base = _compose_or_explain(first, problems)
    if base is None:
        return problems
    axes = [[f"{group}={name}" for name in names] for group, names in choices]
    axes += [fitting for override, words in values if (fitting := _try_values(base, override, words, problems))]
    first = [axis[0] for axis in axes]
    # each further value of a sweep is checked in the place of the first, not every combination
    cells = [first, *([*first[:i], word, *first[i + 1 :]] for i, axis in enumerate(axes) for word in axis[1:])]
    for cell in cells:
        composed = _compose_or_explain(cell, problems)
        if composed is not None:
            missing = [_explain_missing(key) for key in sorted(OmegaConf.missing_keys(composed))]
            found = missing or validate(to_config(composed))
            problems += [problem for problem in found if problem not in problems]
    return problems


def _explain_missing(key: str) -> str:
    group, _, name = key.rpartition(".")
    schemas = [*schema.SCHEMAS.get(group, {}).values(), RunConfig]
    docs = [f.metadata["doc"] for schema in schemas for f in dataclasses.fields(schema) if f.name == name]
    return f"{key} is required ({docs[0]}); set it with {key}=…" if docs else f"{key} is required; set it"


def _known_choices(group: str, words: list[str], problems: list[str]) -> list[str]:
    names = choices(group)
    good = [word for word in words if word in names or (group == "experiment" and word == "null")]
    for word in words:
        if word not in good:
            problems.append(f"{group}={word}: unknown {group}{did_you_mean(word, names)} (allowed: {', '.join(names)})")
    return good


def _compose_or_explain(overrides: list[str], problems: list[str]) -> DictConfig | None:
    try:
        return compose(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        problems.append(f"{' '.join(overrides) or 'the defaults'}: {' '.join(str(cause).split())}")
        return None


def _try_values(base: DictConfig, override: Override, words: list[str], problems: list[str]) -> list[str]:
    """The overrides of one key that fit the composed config; what does not fit becomes a problem."""
    key, good = override.key_or_group, []
    if key.endswith(".name") and key.split(".")[0] in (*schema.SCHEMAS, "method", "task"):
        group = key.split(".")[0]
        problems.append(f"{key} follows from the choice: write {group}={words[0]}")
        return []
    if override.is_add() and not _is_open(base, key):
        return _unknown(key, base, problems)
    for word in words:
        try:
            value = OverridesParser.create().parse_override(f"k={word}").value()
            trial = copy.deepcopy(base)
            OmegaConf.update(trial, key, value, merge=True, force_add=override.is_add())
            good.append(f"{'+' if override.is_add() else ''}{key}={word}")
        except ValidationError as error:
            problems.append(f"{key}={word}: {str(error).splitlines()[0]}")
        except OmegaConfBaseException:
            return _unknown(key, base, problems)
    return good


def _is_open(base: DictConfig, key: str) -> bool:
    """Whether keys may be added beside this one: in plain dictionaries such as `sizes`, not in schemas."""
    parent = OmegaConf.select(base, key.rpartition(".")[0]) if "." in key else None
    return isinstance(parent, DictConfig) and OmegaConf.get_type(parent) is dict


def _unknown(key: str, base: DictConfig, problems: list[str]) -> list[str]:
    """Name what a key may have meant: a near key, another choice that has it, or one that can be added."""
    keys, (group, _, name) = _all_keys(OmegaConf.to_container(base)), key.rpartition(".")
    owners = [
        f"{group}={choice}"
        for choice, schema in schema.SCHEMAS.get(group, {}).items()
        if any(field.name == name for field in dataclasses.fields(schema))
    ]
    if owners:
        problems.append(f"{key} belongs to {' and '.join(owners)}, which this run does not use")
    elif _is_open(base, key):
        problems.append(f"{key}: not set here{did_you_mean(key, keys)}; +{key}=… adds it{_siblings(key, keys)}")
    else:
        problems.append(f"{key}: unknown key{did_you_mean(key, keys)}{_siblings(key, keys)}")
    return []


def _all_keys(node: Any, prefix: str = "") -> list[str]:
    found = []
    for name, value in node.items():
        found.append(f"{prefix}{name}")
        if isinstance(value, dict):
            found += _all_keys(value, f"{prefix}{name}.")
    return found


def _siblings(key: str, keys: list[str]) -> str:
    parent = key.rpartition(".")[0]
    names = [k.rpartition(".")[2] for k in keys if k.rpartition(".")[0] == parent]
    where = f"of {parent} " if parent else ""
    return f" (keys {where}here: {', '.join(names)})" if names else ""
