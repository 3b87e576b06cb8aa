"""Regenerate tables inside Markdown files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kdrun.errors import ConfigError

OPENING = re.compile(r"<!-- kdrun table (?P<args>.*?)\s*-->\s*")
CLOSING = re.compile(r"<!-- /kdrun table -->\s*")


@dataclass(frozen=True)
class Block:
    """One table of a file.

    Attributes:
        line: number of the opening line.
        args: arguments of `kdrun table` for this block.
        differs: whether the file's table differs from the table that the arguments give now.
    """

    line: int
    args: tuple[str, ...]
    differs: bool


def regenerate_blocks(path: Path, make: Callable[[list[str]], str]) -> tuple[str, list[Block]]:
    """Return the text of a Markdown file with its tables regenerated; nothing is written.

    Args:
        path: the file.
        make: builds the Markdown of a table from the arguments of its block.

    Returns:
        The whole text, and the blocks; lines inside code fences are unchanged.

    Raises:
        ConfigError: the file is missing, or a block is not opened or not closed.
    """
    if not path.is_file():
        raise ConfigError([f"update={path}: no such file"])
    output: list[str] = []
    blocks: list[Block] = []
    opened: tuple[int, tuple[str, ...], list[str]] | None = None
    fenced = False
    # a line ends at a line feed alone, and keeps a carriage return before it
    with path.open(encoding="utf-8", newline="") as file:
        lines = re.findall(r"[^\n]*\n|[^\n]+", file.read())
    for number, line in enumerate(lines, start=1):
        fenced ^= opened is None and line.lstrip().startswith("```")
        opening, closing = (None, None) if fenced else (OPENING.fullmatch(line), CLOSING.fullmatch(line))
        if (opening and opened) or (closing and not opened):
            raise ConfigError([f"{path}:{number}: {line.strip()} where {'no' if closing else 'a'} block is open"])
        if opening:
            opened = (number, _split_args(opening["args"], f"{path}:{number}"), [])
        elif closing and opened:
            first_line, args, old = opened
            end = "\r\n" if line.endswith("\r\n") else "\n"
            new = f"{make(list(args))}\n".replace("\n", end)
            blocks.append(Block(first_line, args, new != "".join(old)))
            output.append(new)
            opened = None
        elif opened:
            opened[2].append(line)
            continue
        output.append(line)
    if opened:
        raise ConfigError([f"{path}:{opened[0]}: this block is not closed; end it with <!-- /kdrun table -->"])
    return "".join(output), blocks


def _split_args(text: str, where: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError([f"{where}: kdrun table {text}: {error}; close the quote"]) from None
