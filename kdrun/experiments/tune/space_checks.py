"""Read a space and check it against the settings of the runs.

This module imports without torch and without Optuna.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from kdrun.config import compose
from kdrun.config.identity import NON_IDENTITY_KEYS
from kdrun.config.overrides import key_of
from kdrun.errors import ConfigError, Problem, did_you_mean
from kdrun.experiments.tune import grammar
from kdrun.experiments.tune.grammar import RangeText
from kdrun.experiments.tune.space import DIGITS, Range, Space, interpret
from kdrun.storage import yaml_reader

SPACES = Path(__file__).parent / "spaces"
"""Folder of the shipped spaces, one file per method."""
COMMON = "finetune"
"""The shipped space whose keys all methods have."""
JUDGED = "it changes what is scored, so scores of trials would not compare"
NOT_SEARCHED: dict[str, str] = {
    "seed": "a search would pick a lucky seed; seed=… of the command sets the seed of all trials",
    "task": JUDGED,
    "data": JUDGED,
    "evaluation": JUDGED,
    "preset": JUDGED,
    "experiment": JUDGED,
    "method": "one search tunes one method; kdrun compare compares methods",
    "method.domain": JUDGED,
    "method.hold_out_domain": JUDGED,
}
"""Keys and sections that no space may have → why."""
SEARCHED = ("data.max_length",)
"""Keys that a space may have although their section is in `NOT_SEARCHED`."""
SECTIONS = ("task", "data", "evaluation")
"""Entries of `NOT_SEARCHED` that mean all keys of their section."""


def shipped_spaces() -> list[str]:
    """Names of the shipped spaces."""
    return sorted(path.stem for path in SPACES.glob("*.yaml"))


def read_space(text: str | None, overrides: Sequence[str]) -> Space:
    """The space of a search.

    Args:
        text: an inline space in braces, the name of a shipped one, or a YAML file; None for the method's shipped space.
        overrides: overrides of the runs, without those of the space.

    Raises:
        ConfigError: every problem of the space and of the overrides.
    """
    problems: list[Problem] = [*compose.validate_overrides(list(overrides), multirun=False)]
    base = None if problems else compose.compose(list(overrides))
    entries: list[tuple[str, RangeText]] = []
    try:
        entries = _entries(text, base)
    except ValueError as error:
        problems.append(Problem("space", text, f"space={text}: {error}"))
    key_problems = _key_problems(entries, overrides)
    problems += key_problems
    ranges: dict[str, Range] = {}
    for key, written in entries:
        if key in [problem.key for problem in key_problems]:
            continue
        try:
            ranges[key] = interpret(written, None if base is None else _setting_type(base, key))
        except ValueError as error:
            problems.append(Problem(key, str(written), f"space: {key}: {written}: {error}"))
    if base is not None:
        problems += _value_problems(ranges, overrides)
    if problems:
        raise ConfigError(problems)
    assert base is not None
    defaults = {key: default_text(OmegaConf.select(base, key)) for key in ranges}
    return Space(ranges, {key: str(written) for key, written in entries}, defaults)


def remaining_space(method: str, overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """The shipped space of a method without the keys that overrides set.

    A method without a shipped space has that of `finetune`, whose keys all methods have.

    Args:
        method: name of the method.
        overrides: overrides of the runs.

    Returns:
        The space as `read_space` takes it, None if no key remains; and the overrides that took keys out.
    """
    name = method if method in shipped_spaces() else COMMON
    set_by = {key_of(override): override for override in overrides}
    entries = _from_file(SPACES / f"{name}.yaml")
    texts = [f"{key}: {written}" for key, written in entries if key not in set_by]
    return f"{{{', '.join(texts)}}}" if texts else None, [set_by[key] for key, _ in entries if key in set_by]


def default_text(value: Any) -> str:
    """A value of a config as an override has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    return str(value.name if isinstance(value, Enum) else value)


def _entries(text: str | None, base: DictConfig | None) -> list[tuple[str, RangeText]]:
    """Keys and ranges as written.

    Raises:
        ValueError: they cannot be read.
    """
    if text is not None and text.lstrip().startswith("{"):
        entries = grammar.parse_mapping(text)
    elif text is not None and text.endswith((".yaml", ".yml")):
        entries = _from_file(Path(text))
    else:
        names = shipped_spaces()
        name = text if text is not None else (str(base.method.name) if base is not None else None)
        if name is None:
            return []  # the method is one of the problems of the overrides
        if name not in names:
            hint = f"{did_you_mean(name, names)} (shipped: {', '.join(names)})"
            raise ValueError(f"no space of this name is shipped{hint}; {grammar.EXAMPLE}")
        entries = _from_file(SPACES / f"{name}.yaml")
    if not entries:
        raise ValueError(f"it has no keys; {grammar.EXAMPLE}")
    return entries


def _from_file(path: Path) -> list[tuple[str, RangeText]]:
    try:
        content = yaml_reader.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no keys; it needs lines such as optim.lr: log[1e-5, 1e-3]")
    entries = []
    for key, value in content.items():
        try:
            entries.append((str(key), grammar.from_yaml(value)))
        except ValueError as error:
            raise ValueError(f"{path}: {key}: {error}") from None
    return entries


def _key_problems(entries: Sequence[tuple[str, RangeText]], overrides: Sequence[str]) -> list[Problem]:
    """Problems of keys that no space may have, that repeat, or that an override sets."""
    set_by = {key_of(override): override for override in overrides}
    keys = [key for key, _ in entries]
    problems = []
    for place, (key, written) in enumerate(entries):
        section = key.partition(".")[0]
        reason = NOT_SEARCHED.get(key) or (NOT_SEARCHED[section] if section in SECTIONS else None)
        if section in NON_IDENTITY_KEYS or section == "hydra":
            reason = "it does not change the numbers of a run"
        if key in SEARCHED:
            reason = None
        if key in set_by:
            reason = f"the command sets it too ({set_by[key]}); leave one out"
        if key in keys[:place]:
            reason = "it is listed twice"
        if reason is not None:
            problems.append(Problem(key, str(written), f"space: {key}: {written}: {reason}"))
    return problems


def _value_problems(ranges: dict[str, Range], overrides: Sequence[str]) -> list[Problem]:
    """Problems of keys and of the ends of ranges, as the runs would have them.

    The lowest values of all keys are checked together, then the highest; further choices one after the other.
    """
    problems: list[Problem] = []
    for place in range(max((len(key_range.ends) for key_range in ranges.values()), default=0)):
        values = [f"{key}={r.ends[min(place, len(r.ends) - 1)]}" for key, r in ranges.items()]
        found = compose.validate_overrides([*overrides, *values], multirun=False)
        problems += [problem for problem in found if problem not in problems]
    return [Problem(problem.key, problem.value, f"space: {problem}") for problem in problems]


def _setting_type(base: DictConfig, key: str) -> type | None:
    """Int or float if a key has numbers of this type; None for other and unknown keys."""
    *sections, name = key.split(".")
    parent: Any = base
    for section in sections:
        parent = parent._get_node(section, validate_access=False) if isinstance(parent, DictConfig) else None
    node = parent._get_node(name, validate_access=False) if isinstance(parent, DictConfig) else None
    found = getattr(getattr(node, "_metadata", None), "ref_type", None)
    return found if found in (int, float) else None
