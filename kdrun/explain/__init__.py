"""`kdrun explain NAME`: what a method, task, loss, preset, any other choice or any key is, from where it is defined."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from kdrun import compose, registry
from kdrun.errors import KdrunError, nearest
from kdrun.explain import cards, composed_cards, keys, method_card
from kdrun.explain.cards import Block, Card

WIDEST = 100
"""Lines are no longer than this, however wide the terminal."""

INDENT = "  "
SHORT = 18
"""Names up to this length stand beside their text."""

SPECIAL: dict[str, Callable[[str], Card]] = {
    "method": method_card.card,
    "task": cards.of_task,
    "loss": cards.of_loss,
    "preset": composed_cards.of_preset,
}
"""Axes with a card of their own; the others show their file."""


class UnknownNameError(KdrunError):
    """Nothing has the name that was asked for."""

    code = 2


@dataclass
class Settings:
    """The verb takes names, no settings."""


def main(words: list[str]) -> int:
    """What a name stands for; without a name, all that can be explained.

    kdrun explain kd                    a method; likewise a task, a loss, a preset, a model …
    kdrun explain preset=embedded       where several axes have a choice of that name
    kdrun explain method.temperature    a key
    kdrun explain method                an axis and its choices
    """
    found, problems = [] if words else [overview()], []
    for word in words:
        try:
            found += find(word)
        except UnknownNameError as error:
            problems.append(str(error))
    if problems:
        raise UnknownNameError("; ".join(problems))
    console = Console(highlight=False, soft_wrap=True)
    for i, card in enumerate(found):
        if i:
            console.print()
        show(card, console)
    return 0


def find(word: str) -> list[Card]:
    """The cards of a name: one for each thing that has it.

    Raises:
        UnknownNameError: nothing has it; the nearest name is said.
    """
    group, mark, name = word.partition("=")
    if mark and group in compose.groups():
        if name in compose.options(group) or (group == "loss" and name in registry.entries("loss")):
            return [_choice(group, name)]
        raise UnknownNameError(f"there is no {word}{nearest(name, compose.options(group))}{_listing(group)}")
    if word in compose.groups():
        return [cards.of_axis(word)]
    found = [_choice(axis, word) for axis in compose.groups() if word in compose.options(axis)]
    if not found and keys.find(group):
        found = [composed_cards.of_key(group)]
    if not found:
        choices = [name for axis in compose.groups() for name in compose.options(axis)]
        near = nearest(word, [*choices, *compose.groups(), *keys.every()])
        raise UnknownNameError(f"nothing here is called {word!r}{near}{_listing('')}")
    return found


def _listing(group: str) -> str:
    return f" (kdrun explain {group} lists them)" if group else " (kdrun explain lists what there is)"


def _choice(group: str, name: str) -> Card:
    return SPECIAL[group](name) if group in SPECIAL else cards.of_choice(group, name)


def overview() -> Card:
    """Every axis with its choices."""
    entries = [(axis, [cards.axis_doc(axis), ", ".join(compose.options(axis))]) for axis in compose.groups()]
    single = ", ".join(key for key in keys.every() if "." not in key and key not in compose.groups())
    about = f"any key of a run, e.g. optim.lr or method.temperature; beside the axes: {single}"
    return Card("kdrun explain NAME", [Block("names", entries=entries), Block("keys", [about])])


def show(card: Card, console: Console) -> None:
    """Print a card, wrapped to the terminal (80 columns where there is none)."""
    width = min(console.width, WIDEST)
    console.print(Text(card.title, style="bold"))
    console.print(Text("─" * len(card.title), style="dim"))
    for i, block in enumerate(block for block in card.blocks if block.text or block.entries):
        if i and block.heading:
            console.print()
        if block.heading:
            console.print(Text(block.heading, style="cyan"))
        for line, style in _lines(block, width):
            console.print(Text(line, style=style))


def _lines(block: Block, width: int) -> Iterator[tuple[str, str]]:
    """The lines of a block with their styles; short names stand beside their text, long ones above it."""
    for text in block.text:
        yield from _wrap(text, INDENT, INDENT, width)
    longest = max((len(head) for head, _ in block.entries), default=0)
    for head, texts in block.entries:
        if longest <= SHORT and texts:
            under = " " * (len(INDENT) + longest + 2)
            yield from _wrap(texts[0], f"{INDENT}{head.ljust(longest)}  ", under, width)
            texts = texts[1:]
        else:
            under = INDENT * 3
            yield from _wrap(head, INDENT, under, width)
        for text in texts:
            yield from _wrap(text, under, under, width)


def _wrap(text: str, first: str, under: str, width: int) -> Iterator[tuple[str, str]]:
    # an indented text (a command, a formula) keeps its indent
    own = " " * (len(text) - len(text.lstrip()))
    wrapper = textwrap.TextWrapper(width, initial_indent=first + own, subsequent_indent=under + own)
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    style = "dim" if text.startswith("source: ") else ""
    yield from ((line, style) for line in wrapper.wrap(text.strip()))
