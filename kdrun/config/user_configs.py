"""Config files of the user's own, outside the package.

A config folder has the layout of `conf/`: `task/NAME.yaml`, `preset/NAME.yaml` and so on. `--config-dir DIR` and the
variable `KDRUN_CONF` name such folders. A file adds a choice and replaces none. It may hold what a command line may
hold: registered names and plain values, no code, no interpolation, no setting of Hydra.

A run keeps copies of the files that it used in its directory. Nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from kdrun.config.paths import CONFIG_FOLDERS
from kdrun.config.user_config_file import AXES, UserChoice, read_file
from kdrun.errors import ConfigError, did_you_mean

FOLDER = "configs"
"""Folder of a run's directory with copies of the files that it used."""


_recorded: list[Path] = []


def use_recorded(run_dir: Path) -> None:
    """Use the config files that a run kept, before those of the user's folders."""
    folder = run_dir / FOLDER
    if folder.is_dir() and folder not in _recorded:
        _recorded.insert(0, folder)


@contextmanager
def restore_recorded() -> Iterator[None]:
    """Forget the runs of `use_recorded` at the end."""
    recorded = list(_recorded)
    try:
        yield
    finally:
        _recorded[:] = recorded


def folders() -> list[Path]:
    """The config folders, the first one first."""
    return [Path(part).expanduser() for part in os.environ.get(CONFIG_FOLDERS, "").split(os.pathsep) if part]


def user_choices() -> dict[tuple[str, str], UserChoice]:
    """All choices of the user's own, by axis and name.

    Raises:
        ConfigError: every problem of the folders and their files.
    """
    recorded, given = tuple(map(str, _recorded)), tuple(map(str, folders()))
    if not (recorded or given):
        return {}
    return _read_folders(recorded, given, fingerprint())


def names(axis: str) -> list[str]:
    """The names of the user's choices of an axis."""
    return [name for of_axis, name in user_choices() if of_axis == axis]


def mark(axis: str, choices: Sequence[str]) -> list[str]:
    """The choices of an axis for display; those of the user are marked."""
    own = names(axis)
    return [f"{name} (yours)" if name in own else name for name in choices]


def path_of(axis: str, name: str) -> Path | None:
    """The file of a choice of the user's; None for any other choice."""
    choice = user_choices().get((axis, name))
    return None if choice is None else choice.path


def fingerprint() -> str:
    """A text that differs where the user's choices may differ."""
    files = [file for folder in (*_recorded, *folders()) for file in sorted(folder.glob("*/*.y*ml"))]
    return repr([(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()])


def used_by(overrides: Sequence[str]) -> list[UserChoice]:
    """The user's choices that overrides name, and those that these choose."""
    choices, used = user_choices(), {}
    waiting = [tuple(override.lstrip("+").partition("=")[::2]) for override in overrides]
    while waiting:
        choice = choices.get(waiting.pop())  # pyright: ignore[reportArgumentType]
        if choice is not None and choice not in used.values():
            used[choice.axis, choice.name] = choice
            waiting += choice.choices.items()
    return list(used.values())


@lru_cache(maxsize=8)
def _read_folders(
    recorded: tuple[str, ...], given: tuple[str, ...], _changes: str
) -> dict[tuple[str, str], UserChoice]:
    choices: dict[tuple[str, str], UserChoice] = {}
    problems: list[str] = []
    for folder in map(Path, (*recorded, *given)):
        for file in _files(folder, problems):
            key = (file.parent.name, file.stem)
            if key in choices:
                if str(choices[key].path.parent.parent) not in recorded:
                    problems.append(f"{file}: {choices[key].path} has the same name; rename one of them")
                continue
            choice, found = read_file(file)
            problems += found
            if choice is not None:
                choices[key] = choice
    if problems:
        raise ConfigError(problems)
    return choices


def _files(folder: Path, problems: list[str]) -> Iterator[Path]:
    """The config files of a folder; anything that looks like one and is not becomes a problem."""
    where = f"config folder {folder}"
    if not folder.is_dir():
        problems.append(f"{where} (--config-dir or {CONFIG_FOLDERS}): no such folder")
        return
    axes = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.name in AXES]
    for entry in sorted(folder.iterdir()):
        if entry.suffix in (".yaml", ".yml"):
            problems.append(f"{entry}: a config file belongs to a folder of its axis, e.g. {folder}/task/{entry.name}")
        elif entry.is_dir() and entry.name not in AXES and any(entry.glob("*.y*ml")):
            problems.append(f"{entry}: no axis has this name{did_you_mean(entry.name, AXES)} (axes: {', '.join(AXES)})")
    if not axes:
        problems.append(f"{where} has none of the folders {', '.join(f'{axis}/' for axis in AXES)}")
    for axis in axes:
        for file in sorted(axis.iterdir()):
            if file.suffix == ".yml":
                problems.append(f"{file}: rename it to {file.stem}.yaml")
            elif file.suffix == ".yaml":
                yield file
