"""Parse one command-line override as Hydra does, without running code.

The overrides of a stored run (`kdrun resume=RUN_DIR`), which may come from a stranger, are parsed here too.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException

from kdrun.config.paths import CONF_DIR
from kdrun.errors import ConfigError, Problem
from kdrun.storage.key_aliases import rename_overrides

HYDRA_KEYS = ("hydra.launcher.", "hydra.sweep.dir")
"""Hydra settings that the command line may set besides the choice of the launcher; others name code."""
LAUNCHER = "hydra/launcher"
PLAIN_NAME = re.compile(r"\w+")
MAX_VALUES = 1000
"""Values of one key in a sweep; each is composed and checked before the first run."""
KEY = re.compile(r"[+~]*[\w.@/]+")
EXAMPLE = "write key=value, e.g. task=rte or optim.lr=1e-3"


def parse_override(text: str) -> Override | Problem:
    """An override of the command line, or the problem with it."""
    short, key, value_text = _shorten(text), key_of(text) or None, _shorten(text.partition("=")[2])
    if "\0" in text:
        return Problem(
            key, value_text, f"cannot read {short!r}: it has a null byte, which no file name may have; remove it"
        )
    try:
        override = OverridesParser.create().parse_override(text)
        value = override.value()
    except (HydraException, ValueError) as error:
        reason = str(error).split("\n", 1)[0] if str(error) else type(error).__name__
        remedy = _quoting_remedy(text) or f"({_shorten(reason)}); {EXAMPLE}"
        return Problem(key, value_text, f"cannot read {short!r} {remedy}")
    except RecursionError:
        return Problem(key, value_text, f"cannot read {short!r}: it is nested too deeply; {EXAMPLE}")
    refusal = _refusal(text, override, list(_strings(value)))
    return override if refusal is None else Problem(override.key_or_group or None, value_text, f"{short}{refusal}")


def key_of(override: str) -> str:
    """The key of an override, without the + or ~ in front."""
    return override.partition("=")[0].lstrip("+~")


def rename_old_keys(overrides: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Replace old names of keys by their current names.

    Returns:
        The overrides with current keys; and old key → current key of those that were renamed.

    Raises:
        ConfigError: a key is given under both names.
    """
    renamed = rename_overrides(overrides)
    keys = {key_of(old): key_of(new) for old, new in zip(overrides, renamed, strict=True) if old != new}
    typed = {key_of(override): override.partition("=")[2] for override in overrides}
    problems = [
        Problem(old, typed[old], f"{old} is the old name of {new}, and both are given; remove {old}")
        for old, new in keys.items()
        if new in typed
    ]
    if problems:
        raise ConfigError(problems)
    return renamed, keys


def quote_value(text: str) -> str:
    """A text as the quoted value of an override, so that Hydra reads exactly this text.

    Inside quotes Hydra keeps a backslash as it is, except in front of a quote and at the end of the text, where two
    stand for one.
    """
    escaped = re.sub(r"(\\*)('|\Z)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return f"'{escaped}'"


def _quoting_remedy(text: str) -> str | None:
    """How to quote the value of an override that Hydra cannot read; None if quotes do not help."""
    key, equals, value = text.partition("=")
    if not equals or not KEY.fullmatch(key) or value.startswith(("[", "{", "'", '"')):
        return None
    quoted = f"{key}={quote_value(value)}"
    return f"without quotes, as some of its characters have a meaning in Hydra; write {shlex.quote(quoted)}"


def _refusal(text: str, override: Override, strings: list[str]) -> str | None:
    """Why an override is not allowed, as the rest of a sentence; None where it is."""
    key = override.key_or_group
    if not key:
        return f": there is no key before the =; {EXAMPLE}"
    if override.is_delete():
        return ": nothing can be deleted from a run's config; set another value"
    if override.package is not None:
        return f": a section cannot be moved; write {key}=… without the @"
    if "_target_" in key.split(".") or "_target_" in strings:
        return ": a config names registered components, never code"
    if "${" in text or any("${" in string for string in strings):
        return ": interpolation is not read from the command line; write the value"
    if text.startswith("+") and (CONF_DIR / key).is_dir():
        return f": a run has one {key}; write {key}=… without the +"
    if is_hydra(override):
        return _hydra_refusal(override)
    return _sweep_refusal(override) if override.is_sweep_override() else None


def _sweep_refusal(override: Override) -> str | None:
    key, sweep = override.key_or_group, override.value()
    if not isinstance(sweep, ChoiceSweep | RangeSweep):
        return f": write the values of a sweep one by one, {key}=a,b, or as {key}=range(1,4)"
    if not _is_finite(sweep):
        return f": a range goes from one number to another in steps that reach it; write {key}=range(1,4)"
    if len(override_values(override)) > MAX_VALUES:
        return f" names more than {MAX_VALUES} values, and each is a run; name fewer"
    return None


def _hydra_refusal(override: Override) -> str | None:
    key = override.key_or_group
    if override.is_sweep_override():
        return f": a sweep has one {key}; write one value"
    if key == LAUNCHER and not all(PLAIN_NAME.fullmatch(value) for value in override_values(override)):
        return f": a launcher has a plain name, such as {LAUNCHER}=basic"
    if key != LAUNCHER and not key.startswith(HYDRA_KEYS):
        return f": of Hydra's own settings only the launcher can be changed ({LAUNCHER}=…)"
    return None


def _is_finite(sweep: Any) -> bool:
    """Whether a sweep has an end; a list of choices always has."""
    if not isinstance(sweep, RangeSweep):
        return True
    numbers = (sweep.start, sweep.stop, sweep.step)
    return all(number is not None and math.isfinite(number) for number in numbers) and sweep.step != 0


def is_hydra(override: Override) -> bool:
    """Whether an override is for Hydra, not for the run's config."""
    return re.split(r"[./]", override.key_or_group)[0] == "hydra"


def override_values(override: Override) -> list[str]:
    """The values of an override as typed: one, or those of a sweep, up to one more than `MAX_VALUES`."""
    if override.is_sweep_override():
        return [str(value) for value in islice(override.sweep_string_iterator(), MAX_VALUES + 1)]
    return [override.get_value_element_as_str()]


def _strings(value: Any) -> Iterator[str]:
    """Every string in a value, keys included; whole strings, so that a path may contain any word."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, ChoiceSweep):
        yield from _strings(value.list)
    else:
        yield str(getattr(value, "text", value))


def _shorten(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}…"
