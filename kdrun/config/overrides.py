"""Parse one command-line override as Hydra does, without running code.

The words of a run that a stranger left behind (`kdrun resume=FOLDER`) come by here too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException

from kdrun.errors import ConfigError
from kdrun.storage.key_aliases import rename_overrides

HYDRA_KEYS = ("hydra.launcher.", "hydra.sweep.dir")
"""Of Hydra's own settings those that the command line may set, beside the choice of the launcher: others name code."""
LAUNCHER = "hydra/launcher"
PLAIN_NAME = re.compile(r"\w+")
MOST_VALUES = 1000
"""Values of one key in a sweep; each is composed and checked on its own before the first run."""


def parse_override(text: str) -> Override | str:
    """A word as an override, or what is wrong with it, as a sentence."""
    if "\0" in text:
        return f"cannot read {_short(text)!r}: it has a null byte, which no file's name may have; leave it out"
    try:
        override = OverridesParser.create().parse_override(text)
        value = override.value()
    except (HydraException, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"cannot read {_short(text)!r} ({_short(reason)}); write key=value, e.g. task=rte or optim.lr=1e-3"
    except RecursionError:
        return f"cannot read {_short(text)!r}: it is nested too deep; write key=value, e.g. task=rte or optim.lr=1e-3"
    return _refusal(_short(text), override, list(_texts(value))) or override


def key_of(override: str) -> str:
    """The key of an override, without the + or ~ in front."""
    return override.partition("=")[0].lstrip("+~")


def rename_old_keys(overrides: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Replace the old name of a key by the name that it has now.

    Returns:
        The overrides with the keys of now, and of those that were renamed old key → key.

    Raises:
        ConfigError: a key is given under its old and under its new name.
    """
    renamed = rename_overrides(overrides)
    keys = {key_of(old): key_of(new) for old, new in zip(overrides, renamed, strict=True) if old != new}
    typed = {key_of(override) for override in overrides}
    problems = [
        f"{old} is the old name of {new}, and both are given; leave out {old}"
        for old, new in keys.items()
        if new in typed
    ]
    if problems:
        raise ConfigError(problems)
    return renamed, keys


def quote_path(path: Path) -> str:
    """A path as the value of a word, whatever signs are in it."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"


def _refusal(text: str, override: Override, texts: list[str]) -> str | None:
    key = override.key_or_group
    if not key:
        return f"{text}: there is no key before the =; write key=value, e.g. task=rte or optim.lr=1e-3"
    if override.is_delete():
        return f"{text}: nothing can be deleted from a run's config; set another value"
    if override.package is not None:
        return f"{text}: a section stays where it is; write {key}=… without the @"
    if "_target_" in key.split(".") or "_target_" in texts:
        return f"{text}: a config names registered parts, never code"
    if "${" in text or any("${" in part for part in texts):
        return f"{text}: interpolation is not read from the command line; write the value"
    if override.is_sweep_override() and not isinstance(override.value(), ChoiceSweep | RangeSweep):
        return f"{text}: write the values of a sweep one by one, {key}=a,b, or as {key}=range(1,4)"
    if override.is_sweep_override() and not _is_countable(override.value()):
        return f"{text}: a range goes from a number to a number by steps that lead there; write {key}=range(1,4)"
    if override.is_sweep_override() and len(override_values(override)) > MOST_VALUES:
        return f"{text} names more than {MOST_VALUES} values, and each is a run; name fewer"
    if (
        is_hydra(override)
        and key == LAUNCHER
        and not all(PLAIN_NAME.fullmatch(word) for word in override_values(override))
    ):
        return f"{text}: a launcher has a plain name, such as {LAUNCHER}=basic"
    if is_hydra(override) and key != LAUNCHER and not key.startswith(HYDRA_KEYS):
        return f"{text}: of Hydra's own settings only the launcher can be changed ({LAUNCHER}=…)"
    return None


def _is_countable(sweep: Any) -> bool:
    """Whether a range comes to an end; one by its choices always does."""
    if not isinstance(sweep, RangeSweep):
        return True
    numbers = (sweep.start, sweep.stop, sweep.step)
    return all(number is not None and math.isfinite(number) for number in numbers) and sweep.step != 0


def is_hydra(override: Override) -> bool:
    """Whether it is for Hydra, not for the run's config."""
    return re.split(r"[./]", override.key_or_group)[0] == "hydra"


def override_values(override: Override) -> list[str]:
    """The values that it names, as a command line has them: of a sweep each, and one more than may be at most."""
    if override.is_sweep_override():
        return [str(word) for word in islice(override.sweep_string_iterator(), MOST_VALUES + 1)]
    return [override.get_value_element_as_str()]


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys too; whole texts, so that a path may hold any word."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, ChoiceSweep):
        yield from _texts(value.list)
    else:
        yield str(getattr(value, "text", value))


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}…"
