"""Subcommands of `kdrun` and their help.

A subcommand is a module with `OPTIONS`, a dataclass of `setting` fields, and `main(args) -> exit code`. One that trains
also has `EXAMPLE`, the command that is suggested when it is called without arguments.
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
from kdrun.errors import ConfigError

COMMANDS = {
    "compare": (
        "kdrun.cli.commands.compare",
        "compare methods over seeds with equal budgets: kdrun compare method=kd seeds=5",
    ),
    "tune": (
        "kdrun.cli.commands.tune",
        "search for the best values of keys: kdrun tune method=kd task=sst2 trials=20",
    ),
    "runs": ("kdrun.cli.commands.runs", "list runs: kdrun runs method=kd status=failed"),
    "table": (
        "kdrun.cli.commands.table",
        "tabulate finished runs (mean ± sd): kdrun table rows=method cols=task format=markdown",
    ),
    "report": (
        "kdrun.cli.commands.report",
        "write a run or a comparison as one HTML file: kdrun report outputs/kd/sst2/…",
    ),
    "predict": (
        "kdrun.cli.commands.predict",
        'answer texts or a file with a saved student: kdrun predict RUN_DIR "some text"',
    ),
    "export": (
        "kdrun.cli.commands.export",
        "export a student to ONNX, checked against PyTorch: kdrun export RUN_DIR quantize=int8",
    ),
    "explain": ("kdrun.cli.commands.explain", "describe a method, task, loss, preset or key: kdrun explain kd"),
    "cost": (
        "kdrun.cli.commands.cost",
        "measure parameters, speed and memory of teacher and student: kdrun cost RUN_DIR",
    ),
    "publish": (
        "kdrun.cli.commands.publish",
        "upload a student with its model card: kdrun publish RUN_DIR to=USER/NAME",
    ),
    "glue": (
        "kdrun.cli.commands.glue",
        "write the zip file for the GLUE leaderboard: kdrun glue RUN… output=FILE.zip",
    ),
    "label": (
        "kdrun.cli.commands.label",
        "write a teacher's answers to a file: kdrun label task=sst2 output=answers.jsonl",
    ),
    "write": (
        "kdrun.cli.commands.write",
        "let a language model write labeled text: kdrun write task=sst2 model=NAME prompt='…{label}…' output=FOLDER",
    ),
    "check": ("kdrun.cli.commands.check", "check a run before it is started: kdrun check method=kd task=sst2"),
}
"""Subcommand → its module, and a line for the help."""


def expand_shorthands(args: list[str]) -> list[str]:
    """The arguments with `help [SUBCOMMAND]` and `resume RUN_DIR` in their long forms.

    Raises:
        ConfigError: `resume` without a folder.
    """
    if args[:1] == ["help"]:
        return [*args[1:], "--help"]
    if args[:1] == ["resume"]:
        if len(args) < 2 or args[1].startswith("-"):
            raise ConfigError(["resume: name the folder of a run: kdrun resume RUN_DIR"])
        return [f"resume={args[1]}", *args[2:]]
    return args


def run_command(name: str, args: list[str]) -> int:
    """Run a subcommand; `--help` prints its usage.

    Raises:
        KdrunError: an error that the user can fix.
    """
    module = importlib.import_module(COMMANDS[name][0])
    example = getattr(module, "EXAMPLE", None)
    if "--help" in args or "-h" in args or (example is not None and not args):
        print(usage(name, module))
        if example is not None and not args:
            print(f"\nStart with: {example}")
        return 0
    return module.main(args)


def current_overrides(overrides: Sequence[str]) -> list[str]:
    """Replace `config=FILE` by the values of the file, and old names of keys by current ones, with a note on stderr.

    Raises:
        ConfigError: the file cannot be used, or a key is given under both names.
    """
    from kdrun.config.overrides import rename_old_keys
    from kdrun.config.saved_config import expand_config

    renamed, keys = rename_old_keys(expand_config(overrides))
    if keys:
        names = ", ".join(f"{old} is now {new}" for old, new in keys.items())
        sys.stderr.write(f"note: {names}; old names are accepted in this version only\n")
    return renamed


def usage(name: str, module: Any) -> str:
    """The help of a subcommand: the docstring of its `main`, and its options."""
    lines = [f"kdrun {name}: {(module.main.__doc__ or '').strip()}", ""]
    for item in dataclasses.fields(module.OPTIONS):
        default = item.default if item.default is not dataclasses.MISSING else item.default_factory()  # pyright: ignore
        value = default.value if isinstance(default, Enum) else default
        status = "required" if value == MISSING else f"default {'null' if value is None else value}"
        choices = f"; one of {', '.join(c.value for c in type(default))}" if isinstance(default, Enum) else ""
        lines.append(f"  {item.name + '=':<14}{item.metadata['doc']} ({status}{choices})")
    return "\n".join(lines)
