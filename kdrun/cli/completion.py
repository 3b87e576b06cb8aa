"""Complete command lines in bash, zsh and fish through Hydra."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from typing import Any

from kdrun.cli import config_folders, subcommands
from kdrun.errors import ConfigError, did_you_mean

INSTALL, QUERY_FLAGS = "--install-completion", ("-sc", "--shell-completion")
FLAGS = (INSTALL, *QUERY_FLAGS)
SHELLS = {
    "bash": ("~/.bashrc", 'eval "$(kdrun -sc install=bash)"'),
    "zsh": ("~/.zshrc", 'autoload -Uz bashcompinit && bashcompinit && eval "$(kdrun -sc install=bash)"'),
    "fish": ("~/.config/fish/config.fish", "kdrun -sc install=fish | source"),
}
"""Shell → its start-up file, and the line there that turns completion on."""
WITH_OVERRIDES = ("compare", "tune", "check", "label", "write")
"""Subcommands whose other arguments are overrides of a run."""
HIDDEN = ("hydra", "schema")
"""Keys and groups that no command line may set."""


def main(args: list[str]) -> int:
    """Print the line for a shell's start-up file, or answer Hydra's flag `-sc`.

    Args:
        args: `--install-completion [SHELL]`, or `-sc install=SHELL`, `-sc uninstall=SHELL` or `-sc query=SHELL`.

    Raises:
        ConfigError: the shell is unknown.
    """
    if args[0] == INSTALL:
        name = args[1] if len(args) > 1 else os.path.basename(os.environ.get("SHELL", ""))
        file, line = SHELLS[_shell(name)]
        print(line)
        sys.stderr.write(f"add this line to {file}, then open a new shell: kdrun {INSTALL} {name} >> {file}\n")
        return 0
    action, _, name = (args[1] if len(args) > 1 else "").partition("=")
    if action not in ("install", "uninstall", "query"):
        raise ConfigError([f"{args[0]} {' '.join(args[1:])}: write {args[0]} install=SHELL, uninstall= or query="])
    shell = _shell(name)
    if action == "query":
        print("\n".join(candidates(os.environ.get("COMP_LINE", ""))))
        return 0
    original, sys.argv[0] = sys.argv[0], "kdrun"  # the command that is completed
    try:
        getattr(_plugin(shell), action)()
    finally:
        sys.argv[0] = original
    return 0


def _shell(name: str) -> str:
    if name not in SHELLS:
        problem = f"no completion for the shell {name!r}{did_you_mean(name, list(SHELLS))}"
        raise ConfigError([f"{problem}; name one of {', '.join(SHELLS)}: kdrun {INSTALL} bash"])
    return name


def candidates(line: str) -> list[str]:
    """Completions of the last word of a command line, sorted.

    Args:
        line: the command line up to the cursor, with the name of the command.
    """
    *typed, word = _plugin("bash").strip_python_or_app_name(line).split(" ")
    if typed and typed[-1] in config_folders.FLAGS:
        return []  # the shell completes folders
    before = [text for text in config_folders.take_config_folders(typed) if text and not text.startswith("-")]
    if before and before[0] in subcommands.COMMANDS:
        found = set(_options(before[0], word))
        if before[0] in WITH_OVERRIDES:
            found |= set(_overrides(before[1:], word))
        return sorted(found)
    names = [] if before else [name for name in (*subcommands.COMMANDS, "help", "resume") if name.startswith(word)]
    if before and before[0] == "help":
        return sorted(name for name in subcommands.COMMANDS if name.startswith(word))
    return sorted({*names, *_overrides(before, word)})


def _options(command: str, word: str) -> Iterator[str]:
    """Options of a subcommand, or values of one of them, that begin with a word."""
    module = importlib.import_module(subcommands.COMMANDS[command][0])
    for item in dataclasses.fields(module.OPTIONS):
        default: Any = item.default
        if isinstance(default, Enum):
            values = [member.value for member in type(default)]
        else:
            values = ["true", "false"] if isinstance(default, bool) else []
        texts = [f"{item.name}={value}" for value in values] if word.startswith(f"{item.name}=") else [f"{item.name}="]
        yield from (text for text in texts if text.startswith(word))


def _overrides(before: list[str], word: str) -> Iterator[str]:
    """Hydra's completions of an override: axes, choices, keys and values; none after an override that is wrong."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    key, mark, start = word.partition("=")
    try:
        found = _plugin("bash")._query(config_name="config", line=" ".join([*before, word]))
        if mark and len(found) < 2:
            found = [f"{key}={value}" for value in _values(before, key) if value.startswith(start)] or found
    except (ConfigError, HydraException, OmegaConfBaseException, SystemExit):
        return
    for text in found:
        if not text.startswith(HIDDEN) and " " not in text and f"{text}=" not in found:
            yield text


def _values(before: list[str], key: str) -> list[str]:
    """All values of a key that has few, of which Hydra names the current one only; empty for other keys."""
    from omegaconf import OmegaConf

    from kdrun.config.compose import compose

    value = OmegaConf.select(compose(before), key)
    if isinstance(value, bool):
        return ["true", "false"]
    return [member.name for member in type(value)] if isinstance(value, Enum) else []


def _plugin(shell: str) -> Any:
    """Hydra's completion of a shell, on the configs of kdrun."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.plugins.completion_plugin import CompletionPlugin

    from kdrun.config.compose import register_schemas, register_user_choices
    from kdrun.config.paths import CONF_DIR

    register_schemas()
    with suppress(ConfigError):  # of a broken config file, which the command itself reports
        register_user_choices()
    with initialize_config_dir(config_dir=str(CONF_DIR), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
    classes: Any = Plugins.instance().discover(CompletionPlugin)
    provided = {plugin.provides(): plugin for plugin in classes if not plugin.__name__.startswith("Default")}
    return provided["bash" if shell == "zsh" else shell](loader)
