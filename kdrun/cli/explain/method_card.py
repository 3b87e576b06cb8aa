"""The card of a method.

It is read from the method's docstrings, its config dataclass, `phases()` and the tags of its yaml
(`kdrun.cli.explain.notes` has the conventions); nothing is built, and torch is not imported.
"""

from __future__ import annotations

import dataclasses
import inspect

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun import registry
from kdrun.cli.explain import keys
from kdrun.cli.explain.cards import NONE_GIVEN, Block, Card, defaults, notes_of, tag_of
from kdrun.cli.explain.notes import Docs, field_docs, read_docstring
from kdrun.config.optim import OptimConfig
from kdrun.config.requirements import Requirements
from kdrun.formatting import plural
from kdrun.methods.base import Method
from kdrun.methods.phases import Phase

CONTROL = "kd"
"""The method that the costs of the others stand beside."""

_PROBES = (
    OptimConfig(epochs=2, batch_size=16, gradient_accumulation_steps=2),
    OptimConfig(epochs=4, batch_size=32, gradient_accumulation_steps=4),
    OptimConfig(steps=1000),
    OptimConfig(steps=2000),
)
"""Budgets that a method is asked for its phases with: what follows the budget differs between them."""


def card(name: str) -> Card:
    """All that is known of a registered method."""
    entry = registry.get("method", name)
    docs = read_docstring(entry.target)
    idea = read_docstring(inspect.getmodule(entry.target)).paragraphs
    blocks = [
        Block("idea", idea or [NONE_GIVEN]),
        Block("minimises", docs.paragraphs or [NONE_GIVEN]),
        _phases(name, entry),
        _needs(entry.target.requires),
        _settings(name, entry),
    ]
    if "Differences" in docs.sections:
        entries = [(switch(key), [text]) for key, text in docs.sections["Differences"]]
        blocks.append(Block("where paper and authors' code differ, and what chooses", entries=entries))
    blocks.append(_cost(name, docs))
    return Card(f"method={name}", [*blocks, Block("run", [f"  kdrun method={name} task=sst2"])])


def switch(name: str) -> str:
    """The key that an entry of `Differences:` names: one of the method's own, unless it has a dot."""
    if not name:
        return "no switch"
    return name if "." in name else f"method.{name}"


def _settings(name: str, entry: registry.Entry) -> Block:
    entries = []
    if entry.config is not None:
        notes, node = notes_of("method", name), defaults("method", name, entry.config)
        for key in keys.fields(entry.config):
            if key.path == "name" or key.schema:
                continue
            missing = OmegaConf.is_missing(node, key.path)
            value = "required" if missing else keys.written(OmegaConf.select(node, key.path))
            source = f"source: {tag_of(key.path, notes) or NONE_GIVEN}"
            entries.append((f"method.{key.path} = {value}   ({key.allowed})", [key.doc, source]))
    return Block("settings", [] if entries else ["none of its own"], entries)


def _needs(needs: Requirements) -> Block:
    """What it asks of a run, by the docs of the fields; `regression` and `extraction` are permissions, not needs."""
    docs, entries = field_docs(Requirements), []
    for item in dataclasses.fields(needs):
        value = getattr(needs, item.name)
        if value and item.name not in ("regression", "extraction"):
            head = item.name if value is True else f"{item.name}: {', '.join(value)}"
            entries.append((head, [docs[item.name]]))
    also = [" or a score" if needs.regression else "", ", or answered with a text" if needs.extraction else ""]
    return Block("needs", [f"tasks: with classes{''.join(also)}"], entries)


def _phases(name: str, entry: registry.Entry) -> Block:
    """One entry a phase. Asked of the class itself: a method's settings are all that `phases` reads."""
    method: Method = object.__new__(entry.target)
    try:
        method.config = None if entry.config is None else OmegaConf.to_object(defaults("method", name, entry.config))
        asked = [method.phases(probe) for probe in _PROBES]
    except (AttributeError, KeyError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        return Block("phases", [f"n/a: they hang on more than the method's settings ({reason}); a dry run shows them"])
    return Block("phases", entries=[_phase(list(phase)) for phase in zip(*asked, strict=True)])


def _phase(seen: list[Phase]) -> tuple[str, list[str]]:
    """Who trains when and for how long; `seen` is the phase under each of `_PROBES`."""
    first, twice, stepped, stepped_twice = seen
    role = first.leading_role
    if len(first.turns) == 1:
        turns = f"the {role} in every step"
    else:
        named = [f"{turn.role} {plural(turn.steps, 'step')}" for turn in first.turns]
        turns = f"in turn: {', '.join(named)}; the budget counts those of the {role}"
    if first.steps is not None:
        budget = f"{_amount((first.steps, twice.steps or 0), (2, 4), 'optim.epochs')} steps"
    else:
        budget = f"{_amount((first.epochs, twice.epochs), (2, 4), 'optim.epochs')} passes over the training rows"
        if stepped.steps is not None:
            steps = _amount((stepped.steps, stepped_twice.steps or 0), (1000, 2000), "optim.steps")
            budget += f", or {steps} steps where optim.steps is set"
    rows = _amount((first.batch_size, twice.batch_size), (16, 32), "optim.batch_size")
    parts = _amount(
        (first.gradient_accumulation_steps, twice.gradient_accumulation_steps),
        (2, 4),
        "optim.gradient_accumulation_steps",
    )
    said = [turns, budget, f"a step: {rows} rows" + (f" × {parts} batches" if parts != "1" else "")]
    return first.name, said if first.evaluated else [*said, "not scored: its last weights go on"]


def _amount(values: tuple[float, float], asked: tuple[float, float], key: str) -> str:
    """A number of the method's own, or what it makes of the budget's: `optim.epochs`, `0.5 × optim.epochs`."""
    if values[0] == values[1]:
        return f"{values[0]:g}"
    shares = {value / probe for value, probe in zip(values, asked, strict=True)}
    if len(shares) > 1:
        return f"(a number that follows from {key})"
    return key if shares == {1.0} else f"{shares.pop():g} × {key}"


def _cost(name: str, docs: Docs) -> Block:
    """Passes by role, beside those of plain distillation."""
    own = docs.sections.get("Cost", [])
    if not own:
        return Block("cost", [NONE_GIVEN])
    if name == CONTROL:
        return Block("cost", entries=[(role, [text]) for role, text in own])
    other = dict(read_docstring(registry.get("method", CONTROL).target).sections["Cost"])
    entries = []
    for role in dict.fromkeys([*dict(own), *other]):
        here, there = dict(own).get(role, "none"), other.get(role, "none")
        entries.append((role, [here, f"{CONTROL}: {'the same' if here == there else there}"]))
    return Block(f"cost, beside {CONTROL}", entries=entries)
