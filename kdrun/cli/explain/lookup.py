"""Find the cards of a name."""

from __future__ import annotations

from collections.abc import Callable

from kdrun import registry
from kdrun.cli.explain import cards, composed_cards, keys, method_card, task_card
from kdrun.cli.explain.cards import Block, Card
from kdrun.config import compose, user_configs
from kdrun.errors import KdrunError, did_you_mean
from kdrun.storage.key_aliases import RENAMED_METHOD_KEYS, current_key

SPECIAL: dict[str, Callable[[str], Card]] = {
    "method": method_card.card,
    "task": task_card.task_card,
    "loss": cards.loss_card,
    "preset": composed_cards.preset_card,
}
"""Axes with a special card; the others show the file of the choice."""


class UnknownNameError(KdrunError):
    """Nothing has the requested name."""

    code = 2


def find_cards(query: str) -> list[Card]:
    """The cards of all choices and keys with this name.

    Raises:
        UnknownNameError: nothing has the name; the message suggests the nearest one.
    """
    group, mark, name = query.partition("=")
    if mark and group in compose.groups():
        if name in compose.choices(group):
            return [_choice(group, name)]
        raise UnknownNameError(f"there is no {query}{did_you_mean(name, compose.choices(group))}{_listing(group)}")
    if query == "metric":
        return [task_card.metrics_card()]
    if query in compose.groups():
        return [cards.axis_card(query)]
    matches = [_choice(axis, query) for axis in compose.groups() if query in compose.choices(axis)]
    key = group if keys.find(group) else current_key(group, RENAMED_METHOD_KEYS)
    if not matches and keys.find(key):
        matches = [composed_cards.key_card(key)]
    metrics = registry.entries("metric")
    matches += [task_card.metric_card(query)] if query in metrics else []
    if not matches:
        choices = [name for axis in compose.groups() for name in compose.choices(axis)]
        hint = did_you_mean(query, [*choices, *compose.groups(), "metric", *metrics, *keys.all_paths()])
        raise UnknownNameError(f"unknown name {query!r}{hint}{_listing('')}")
    return matches


def _listing(group: str) -> str:
    return f" (kdrun explain {group} lists them)" if group else " (kdrun explain lists all names)"


def _choice(group: str, name: str) -> Card:
    card = SPECIAL[group](name) if group in SPECIAL else cards.choice_card(group, name)
    path = user_configs.path_of(group, name)
    return card if path is None else Card(card.title, [Block("", [f"A file of yours: {path}"]), *card.blocks])


def overview() -> Card:
    """Every axis with its choices."""
    choices = {axis: ", ".join(user_configs.mark(axis, compose.choices(axis))) for axis in compose.groups()}
    entries = [(axis, [cards.axis_doc(axis), names]) for axis, names in choices.items()]
    entries.append(("metric", ["metrics of tasks", ", ".join(registry.entries("metric"))]))
    single = ", ".join(key for key in keys.all_paths() if "." not in key and key not in compose.groups())
    about = f"any key of a run, e.g. optim.lr or method.temperature; at the top level, besides the axes: {single}"
    return Card("kdrun explain NAME", [Block("names", entries=entries), Block("keys", [about])])
