"""`kdrun explain`: describe a method, task, loss, preset or key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from kdrun.cli.explain.display import print_card
from kdrun.cli.explain.lookup import UnknownNameError, find_cards, overview
from kdrun.config.fields import setting
from kdrun.config.options import parse_options
from kdrun.errors import ConfigError


@dataclass
class ExplainOptions:
    """Options of `kdrun explain`, besides names."""

    to: str | None = setting(None, "write the pages on config keys and commands into this folder instead")


OPTIONS = ExplainOptions


def main(args: list[str]) -> int:
    """Describe a name; without a name, list all names.

    kdrun explain kd                    a method; likewise a task, a loss, a preset, a model …
    kdrun explain preset=embedded       where several axes have a choice of that name
    kdrun explain method.temperature    a key
    kdrun explain method                an axis and its choices
    kdrun explain to=docs/reference     all keys and commands as Markdown pages
    """
    options, names = parse_options(ExplainOptions, args, others=True)
    if options.to is not None:
        return _write_pages(Path(options.to), names)
    cards, problems = [] if names else [overview()], []
    for name in names:
        try:
            cards += find_cards(name)
        except UnknownNameError as error:
            problems.append(str(error))
    if problems:
        raise UnknownNameError("; ".join(problems))
    console = Console(highlight=False, soft_wrap=True)
    for i, card in enumerate(cards):
        if i:
            console.print()
        print_card(card, console)
    return 0


def _write_pages(folder: Path, names: list[str]) -> int:
    """Write the reference pages, which are about all names."""
    from kdrun.cli.explain.reference_pages import write_pages

    if names:
        raise ConfigError([f"to={folder} writes all names; leave out {' '.join(names)}"])
    if not folder.is_dir():
        raise ConfigError([f"to={folder}: no such folder"])
    for path in write_pages(folder):
        print(path)
    return 0
