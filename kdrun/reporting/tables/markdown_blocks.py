"""Regenerate tables inside Markdown files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kdrun.errors import ConfigError

OPENING = re.compile(r"<!-- kdrun table (?P<words>.*?)\s*-->\s*")
CLOSING = re.compile(r"<!-- /kdrun table -->\s*")


@dataclass(frozen=True)
class Block:
    """One table of a file.

    Attributes:
        line: number of the line that opens it.
        words: what it is made with.
        differs: whether the file holds something else than these words make now.
    """

    line: int
    words: str
    differs: bool


def regenerate_blocks(path: Path, make: Callable[[list[str]], str]) -> tuple[str, list[Block]]:
    """A Markdown file with its tables made anew; nothing is written.

    Args:
        path: the file.
        make: from the words of a block to its Markdown.

    Returns:
        The whole text, and the blocks found; lines inside code fences are left alone.

    Raises:
        ConfigError: the file is not there, or a block is opened or closed alone.
    """
    if not path.is_file():
        raise ConfigError([f"update={path}: there is no such file"])
    kept: list[str] = []
    blocks: list[Block] = []
    opened: tuple[int, str, list[str]] | None = None
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        fenced ^= opened is None and line.lstrip().startswith("```")
        opening, closing = (None, None) if fenced else (OPENING.fullmatch(line), CLOSING.fullmatch(line))
        if (opening and opened) or (closing and not opened):
            raise ConfigError([f"{path}:{number}: {line.strip()} where {'no' if closing else 'a'} block is open"])
        if opening:
            opened = (number, opening["words"], [])
        elif closing and opened:
            begun, words, old = opened
            new = f"{make(shlex.split(words))}\n"
            blocks.append(Block(begun, words, new != "".join(old)))
            kept.append(new)
            opened = None
        elif opened:
            opened[2].append(line)
            continue
        kept.append(line)
    if opened:
        raise ConfigError([f"{path}:{opened[0]}: this block is never closed; end it with <!-- /kdrun table -->"])
    return "".join(kept), blocks
