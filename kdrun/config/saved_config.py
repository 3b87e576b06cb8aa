"""`config=FILE`: the overrides that compose a saved config.yaml.

The file may come from a stranger. Its values become overrides, and are checked as if they had been typed: a key of
Hydra, code and interpolation are refused. Settings of the run's folder and of its trackers are left out, so that a file
never chooses where a run writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdrun.config import compose, overrides, plugins, user_configs
from kdrun.errors import ConfigError, did_you_mean
from kdrun.storage import yaml_reader
from kdrun.storage.key_aliases import current_key, rename_config

CONFIG = "config="
LEFT_OUT = ("output_dir", "run_dir", "sweep", "retry", "dry_run", "debug", "tracker", "experiment")
"""Keys of a saved config that belong to the saved run, not to what it computes."""
KEY = re.compile(r"[A-Za-z_][\w-]*")
PLAIN_TEXT = re.compile(r"(?!(?:true|false|null|nan|inf)$)[A-Za-z][\w./-]*", re.IGNORECASE)


def expand_config(args: Sequence[str]) -> list[str]:
    """Overrides of a command line, with `config=FILE` replaced by the values of the file.

    An override next to `config=FILE` wins over the file; another choice of an axis, such as `method=finetune`, replaces
    the whole section of the file.

    Raises:
        ConfigError: the file cannot be read, is no saved config, or has a value that no command line may have.
    """
    files = [arg.removeprefix(CONFIG) for arg in args if arg.startswith(CONFIG)]
    if not files:
        return list(args)
    if len(files) > 1:
        raise ConfigError([f"{CONFIG}{files[0]} and {CONFIG}{files[1]}: name one file"])
    path, others = Path(files[0]).expanduser(), [arg for arg in args if not arg.startswith(CONFIG)]
    values = _read(path)
    user_configs.use_recorded(path.parent)
    method = str((values.get("method") or {}).get("name"))
    keys = {current_key(overrides.key_of(arg), [method]) for arg in others}
    if "preset" in keys:
        raise ConfigError([f"preset=… next to {CONFIG}{path} has no effect, since the file has every value; remove it"])
    for axis in keys & set(compose.groups()):
        values.pop(axis, None)
    words = [word for word in _words(values, path) if overrides.key_of(word) not in keys]
    _check_safe(words, path)
    return [*words, *others]


def _check_safe(words: Sequence[str], path: Path) -> None:
    """Refuse values that may not be typed either, and every setting of Hydra."""
    problems = []
    for word in words:
        override = overrides.parse_override(word)
        if isinstance(override, str):
            problems.append(f"{path}: {override}")
        elif overrides.is_hydra(override):
            problems.append(f"{path}: {word}: a saved config has no settings of Hydra; remove it")
    if problems:
        raise ConfigError(problems)


def _read(path: Path) -> dict[str, Any]:
    """The values of a saved config under their current keys, without `LEFT_OUT`."""
    where = f"{CONFIG}{path}"
    if path.is_dir():
        names = [entry.name for entry in path.iterdir()]
        raise ConfigError([f"{where} is a folder; name a file{did_you_mean('config.yaml', names)}"])
    if not path.is_file():
        raise ConfigError([f"{where}: no such file; name the config.yaml of a run's folder"])
    if path.stat().st_size > yaml_reader.MAX_BYTES:
        size = path.stat().st_size
        raise ConfigError([f"{where} has {size} bytes; a saved config has at most {yaml_reader.MAX_BYTES}"])
    try:
        content = yaml_reader.parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError([f"{where} is not readable as YAML: {error}; take the config.yaml of a run"]) from None
    if not isinstance(content, dict) or not isinstance(content.get("method"), dict) or "preset" not in content:
        raise ConfigError([f"{where} is no saved config: it needs method and preset, as in the config.yaml of a run"])
    _check_keys(content, where)
    method = str(content["method"].get("name"))
    current = rename_config({str(key): value for key, value in content.items()}, [method])
    return {key: value for key, value in current.items() if key not in LEFT_OUT}


def _check_keys(values: Mapping[Any, Any], where: str) -> None:
    """Refuse keys that would be read as something else in an override."""
    for key, value in values.items():
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise ConfigError([f"{where} has the key {str(key)[:60]!r}; a key has letters, digits, _ and - only"])
        if isinstance(value, dict):
            _check_keys(value, where)


def _words(values: Mapping[str, Any], path: Path) -> list[str]:
    """The shortest overrides that compose these values: the choice of each section, then what differs from it."""
    axes = set(compose.groups())
    chosen = [f"preset={_written(values['preset'], path)}"]
    chosen += [
        f"{axis}={_written(values[axis]['name'], path)}" for axis in ("method", "task") if _is_named(values, axis)
    ]
    sections = [axis for axis in plugins.section_schemas() if _is_named(values, axis)]
    base = _compose(chosen)
    if base is None:  # an unknown name; reported with all others when the overrides are checked
        return chosen
    for axis in sections:
        name = values[axis]["name"]
        same = name == base[axis].get("name") and not _has_more(base[axis], values[axis])
        if not same and name in compose.choices(axis):
            chosen.append(f"{axis}={_written(_fitting_choice(axis, values[axis], chosen), path)}")
    base = _compose(chosen) or base
    words = []
    for key, value in _leaves({name: value for name, value in values.items() if name != "preset"}, base):
        section, _, rest = key.partition(".")
        if rest == "name" and section in (*plugins.section_schemas(), "method", "task"):
            continue
        if section in axes and not rest:
            continue
        before = _select(base, key)
        if isinstance(before, Enum):  # a file has an enum's value, an override its name
            before, value = before.name, next((item.name for item in type(before) if item.value == value), value)
        if value != before:
            words.append(f"{'+' if _is_new_entry(base, key) else ''}{key}={_written(value, path)}")
    return [*chosen, *words]


def _fitting_choice(axis: str, section: Mapping[str, Any], chosen: list[str]) -> str:
    """The choice of a section whose mappings have no entry that the file's section lacks: an override only adds."""
    name: str = section["name"]
    for candidate in dict.fromkeys([name, *compose.choices(axis)]):
        composed = _compose([*chosen, f"{axis}={candidate}"])
        if composed and composed[axis].get("name") == name and not _has_more(composed[axis], section):
            return candidate
    return name


def _leaves(values: Mapping[str, Any], base: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key and value of every setting; a mapping where the base has a plain value, such as null, is one setting."""
    for name, value in values.items():
        inner = base.get(name)
        if value and isinstance(value, dict) and isinstance(inner, Mapping):
            yield from _leaves(value, inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_named(values: Mapping[str, Any], axis: str) -> bool:
    return isinstance(values.get(axis), dict) and isinstance(values[axis].get("name"), str)


def _has_more(base: Mapping[str, Any], section: Mapping[str, Any]) -> bool:
    """Whether a mapping of the base, such as `sizes`, has entries that the file's section lacks."""
    return any(
        isinstance(value, dict) and isinstance(section.get(key), dict) and set(value) - set(section[key])
        for key, value in base.items()
    )


def _compose(words: list[str]) -> dict[str, Any] | None:
    if any(isinstance(overrides.parse_override(word), str) for word in words):
        return None
    for word in words:
        axis, _, name = word.partition("=")
        if name not in compose.choices(axis):
            return None
    values: Any = OmegaConf.to_container(compose.compose(words))
    return values


def _select(base: Mapping[str, Any], key: str) -> Any:
    node: Any = base
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return ...
        node = node[name]
    return node


def _is_new_entry(base: Mapping[str, Any], key: str) -> bool:
    """Whether a key adds an entry to a mapping that takes any name, such as `student.sizes`."""
    parent = key.rpartition(".")[0]
    return "." in parent and isinstance(_select(base, parent), Mapping) and _select(base, key) is ...


def _written(value: Any, path: Path) -> str:
    """A plain value as the value of an override."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if PLAIN_TEXT.fullmatch(value) else overrides.quote_value(value)
    if isinstance(value, list):
        return f"[{','.join(_written(item, path) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_written(item, path)}' for key, item in value.items())}}}"
    raise ConfigError([f"{path}: {str(value)[:60]!r} is no value of a config; fix the file"])
