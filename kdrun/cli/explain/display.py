"""Print a card, wrapped to the terminal."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from kdrun.cli.explain.cards import Block, Card

MAX_WIDTH = 100
"""Largest length of a line, also on a wider terminal."""

INDENT = "  "
MAX_SHARED_LINE = 18
"""Largest length of a name that shares a line with its text."""


def print_card(card: Card, console: Console) -> None:
    """Print a card, wrapped to the terminal (80 columns where there is none)."""
    width = min(console.width, MAX_WIDTH)
    console.print(Text(card.title, style="bold"))
    console.print(Text("─" * len(card.title), style="dim"))
    for i, block in enumerate(block for block in card.blocks if block.text or block.entries):
        if i and block.heading:
            console.print()
        if block.heading:
            console.print(Text(block.heading, style="cyan"))
        for line, style in _lines(block, width):
            console.print(Text(line, style=style))


def card_text(card: Card) -> str:
    """The card as plain text, wrapped to `MAX_WIDTH`."""
    console = Console(file=io.StringIO(), width=MAX_WIDTH, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        print_card(card, console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _lines(block: Block, width: int) -> Iterator[tuple[str, str]]:
    """The lines of a block with their styles; if all names are short, each shares a line with its text."""
    for text in block.text:
        yield from _wrap(text, INDENT, INDENT, width)
    longest = max((len(name) for name, _ in block.entries), default=0)
    for name, texts in block.entries:
        if longest <= MAX_SHARED_LINE and texts:
            text_indent = " " * (len(INDENT) + longest + 2)
            yield from _wrap(texts[0], f"{INDENT}{name.ljust(longest)}  ", text_indent, width)
            texts = texts[1:]
        else:
            text_indent = INDENT * 3
            yield from _wrap(name, INDENT, text_indent, width)
        for text in texts:
            yield from _wrap(text, text_indent, text_indent, width)


def _wrap(text: str, first_indent: str, next_indent: str, width: int) -> Iterator[tuple[str, str]]:
    # an indented text (a command, a formula) keeps its indent
    indent = " " * (len(text) - len(text.lstrip()))
    wrapper = textwrap.TextWrapper(width, initial_indent=first_indent + indent, subsequent_indent=next_indent + indent)
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    style = "dim" if text.startswith("source: ") else ""
    yield from ((line, style) for line in wrapper.wrap(text.strip()))
