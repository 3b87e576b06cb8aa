"""Subcommands of `kdrun` and their help.

A verb is a module with a dataclass of settings (`kdrun.config.fields.setting`) and `main(words) -> exit code`.
Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Any

from kdrun.config.fields import MISSING

COMMANDS = {
    "compare": (
        "kdrun.cli.commands.compare",
        "methods over seeds on one budget, with verdicts: kdrun compare method=kd seeds=5",
    ),
    "runs": ("kdrun.cli.commands.runs", "what was run: kdrun runs method=kd status=failed"),
    "table": (
        "kdrun.cli.commands.table",
        "mean ± sd of finished runs: kdrun table rows=method cols=task format=markdown",
    ),
    "report": ("kdrun.cli.commands.report", "one HTML file of a run or a comparison: kdrun report outputs/kd/sst2/…"),
    "explain": ("kdrun.cli.commands.explain", "a card of a method, task, loss or preset: kdrun explain kd"),
    "check": ("kdrun.cli.commands.check", "is this run sound, before it is paid for: kdrun check method=kd task=sst2"),
}
"""Verb → the module that carries it out, and a line for the help."""


def run_command(verb: str, words: list[str]) -> int:
    """Carry out a verb; `--help` after it prints what it takes.

    Raises:
        KdrunError: whatever the user can mend.
    """
    module = importlib.import_module(COMMANDS[verb][0])
    if "--help" in words or "-h" in words:
        print(usage(verb, module))
        return 0
    return module.main(words)


def current_overrides(overrides: Sequence[str]) -> list[str]:
    """Overrides with the keys of now; keys of the version before are accepted, with a note on stderr.

    Raises:
        ConfigError: a key is given under its old and under its new name.
    """
    from kdrun.config.overrides import rename_old_keys

    renamed, keys = rename_old_keys(overrides)
    if keys:
        names = ", ".join(f"{old} is now {new}" for old, new in keys.items())
        sys.stderr.write(f"note: {names}; old names are accepted in this version only\n")
    return renamed


def usage(verb: str, module: Any) -> str:
    """A verb's help: what its `main` says of itself, and its settings."""
    lines = [f"kdrun {verb}: {(module.main.__doc__ or '').strip()}", ""]
    for item in dataclasses.fields(module.OPTIONS):
        default = item.default if item.default is not dataclasses.MISSING else item.default_factory()  # pyright: ignore
        shown = default.value if isinstance(default, Enum) else default
        value = "required" if shown == MISSING else f"default {'null' if shown is None else shown}"
        choices = f"; one of {', '.join(c.value for c in type(default))}" if isinstance(default, Enum) else ""
        lines.append(f"  {item.name + '=':<14}{item.metadata['doc']} ({value}{choices})")
    return "\n".join(lines)
