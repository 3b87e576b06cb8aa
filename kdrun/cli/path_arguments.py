"""Separate paths and texts from the options of a subcommand."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

KEY = re.compile(r"[A-Za-z_][\w.]*")


def split_paths(args: list[str], schema: type[Any]) -> tuple[list[str], list[str]]:
    """Arguments that are paths or texts, and those that are `key=value`.

    An argument whose key is an option is one; so is any other `key=value` without blanks that names no existing file.

    Args:
        args: the command line after the subcommand.
        schema: the options of the subcommand.
    """
    keys = {item.name for item in dataclasses.fields(schema)}
    is_option = [arg.partition("=")[0] in keys or _looks_like_option(arg) for arg in args]
    paths = [arg for arg, option in zip(args, is_option, strict=True) if not option]
    return paths, [arg for arg, option in zip(args, is_option, strict=True) if option]


def _looks_like_option(arg: str) -> bool:
    key, mark, _ = arg.partition("=")
    return bool(mark) and KEY.fullmatch(key) is not None and len(arg.split()) == 1 and not Path(arg).exists()
