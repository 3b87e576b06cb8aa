"""`kdrun explain`: describe a method, task, loss, preset or key."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from kdrun.cli.explain.display import print_card
from kdrun.cli.explain.lookup import UnknownNameError, find_cards, overview


@dataclass
class ExplainOptions:
    """The verb takes names, no settings."""


OPTIONS = ExplainOptions


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
            found += find_cards(word)
        except UnknownNameError as error:
            problems.append(str(error))
    if problems:
        raise UnknownNameError("; ".join(problems))
    console = Console(highlight=False, soft_wrap=True)
    for i, card in enumerate(found):
        if i:
            console.print()
        print_card(card, console)
    return 0
