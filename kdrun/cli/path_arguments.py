"""Separate paths and texts from the options of a subcommand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any


def split_paths(args: list[str], schema: type[Any]) -> tuple[list[str], list[str]]:
    """Arguments that are paths or texts, and those that are `key=value`.

    An argument whose key is an option is one; so is any other `key=value` that names no existing file.

    Args:
        args: the command line after the subcommand.
        schema: the options of the subcommand.
    """
    keys = {item.name for item in dataclasses.fields(schema)}
    is_option = [arg.partition("=")[0] in keys or ("=" in arg and not Path(arg).exists()) for arg in args]
    paths = [arg for arg, option in zip(args, is_option, strict=True) if not option]
    return paths, [arg for arg, option in zip(args, is_option, strict=True) if option]
