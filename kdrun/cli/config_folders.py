"""`--config-dir DIR`: config files of the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kdrun.config import user_configs
from kdrun.config.paths import CONFIG_FOLDERS
from kdrun.errors import ConfigError

FLAGS = ("--config-dir", "-cd")


@contextmanager
def folders_of_one_command() -> Iterator[None]:
    """Restore the config folders at the end of a command, for the next one in the same process."""
    given = os.environ.get(CONFIG_FOLDERS)
    with user_configs.restore_recorded():
        try:
            yield
        finally:
            os.environ.pop(CONFIG_FOLDERS, None)
            if given is not None:
                os.environ[CONFIG_FOLDERS] = given


def take_config_folders(args: Sequence[str]) -> list[str]:
    """Add the folders of `--config-dir DIR` to `KDRUN_CONF` of this process; returns the other arguments.

    Raises:
        ConfigError: the flag has no folder.
    """
    others, folders, left = [], [], list(args)
    while left:
        arg = left.pop(0)
        flag, equals, value = arg.partition("=")
        if flag not in FLAGS:
            others.append(arg)
        elif not equals and not left:
            raise ConfigError([f"{arg}: name a folder with config files: {arg} DIR"])
        else:
            folders.append(str(Path(value if equals else left.pop(0)).expanduser().absolute()))
    if folders:
        present = [folder for folder in os.environ.get(CONFIG_FOLDERS, "").split(os.pathsep) if folder]
        os.environ[CONFIG_FOLDERS] = os.pathsep.join(dict.fromkeys([*folders, *present]))
    return others
