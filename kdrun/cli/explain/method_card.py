"""The card of a method.

Its content comes from the method's docstrings, its config dataclass, `phases()` and the tags of its yaml
(`kdrun.cli.explain.notes` has the conventions). It builds no model and does not import torch.
"""

from __future__ import annotations

import dataclasses
import inspect

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun import registry
from kdrun.cli.explain import keys
from kdrun.cli.explain.cards import NOT_DOCUMENTED, Block, Card, defaults, notes_of, tag_of
from kdrun.cli.explain.notes import Docs, field_docs, read_docstring
from kdrun.config.optim import OptimConfig
from kdrun.config.requirements import Requirements
from kdrun.formatting import plural
from kdrun.methods.phases import Phase

CONTROL = "kd"
"""Method that the costs of the others are compared with."""
EXAMPLE, DOMAIN_EXAMPLE, TEXT_EXAMPLE = "task=sst2", "task=amazon", "task=conll2003 preset=t5_writer"
"""Overrides of an example: for most methods, for those with domains, for those of answers in text."""
TASK_TYPES = {
    "regression": " or a score",
    "multi_label": ", or any number of classes per row",
    "extraction": ", or answered with a text",
}
"""Requirement → the tasks that it allows besides those with one class per row."""


def card(name: str) -> Card:
    """Card of a registered method."""
    entry = registry.get("method", name)
    docs = read_docstring(entry.target)
    idea = read_docstring(inspect.getmodule(entry.target)).paragraphs
    blocks = [
        Block("idea", idea or [NOT_DOCUMENTED]),
        Block("minimizes", docs.paragraphs or [NOT_DOCUMENTED]),
        _phases(name, entry),
        _needs(entry.target.requires),
        _settings(name, entry),
    ]
    if "Differences" in docs.sections:
        entries = [(switch(key), [text]) for key, text in docs.sections["Differences"]]
        blocks.append(Block("where paper and authors' code differ, and what chooses", entries=entries))
    blocks.append(_cost(name, docs))
    return Card(f"method={name}", [*blocks, Block("run", [f"  kdrun method={name} {example(entry.target.requires)}"])])


def example(needs: Requirements) -> str:
    """Overrides that choose a task for a method with these requirements."""
    if needs.only_text:
        return TEXT_EXAMPLE
    return DOMAIN_EXAMPLE if needs.domains else EXAMPLE


def switch(name: str) -> str:
    """Key that an entry of `Differences:` names: a setting of the method, unless it has a dot."""
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
            value = "required" if missing else keys.yaml_text(OmegaConf.select(node, key.path))
            source_line = f"source: {tag_of(key.path, notes) or NOT_DOCUMENTED}"
            entries.append((f"method.{key.path} = {value}   ({key.allowed})", [key.doc, source_line]))
    return Block("settings", [] if entries else ["none"], entries)


def _needs(needs: Requirements) -> Block:
    """Requirements of the method with their docs; those about the answers are listed as kinds of tasks."""
    docs, entries = field_docs(Requirements), []
    for item in dataclasses.fields(needs):
        value = getattr(needs, item.name)
        if value and item.name not in (*TASK_TYPES, "only_text"):
            head = item.name if value is True else f"{item.name}: {', '.join(value)}"
            entries.append((head, [docs[item.name]]))
    others = [text for name, text in TASK_TYPES.items() if getattr(needs, name)]
    tasks = "answered with a text" if needs.only_text else f"with classes{''.join(others)}"
    return Block("needs", [f"tasks: {tasks}"], entries)


def _phases(name: str, entry: registry.Entry) -> Block:
    """One entry per phase, from the method's default settings."""
    try:
        config = None if entry.config is None else OmegaConf.to_object(defaults("method", name, entry.config))
    except OmegaConfBaseException as error:
        reason = str(error).split("\n", 1)[0]
        return Block("phases", [f"n/a: they depend on a setting without a default ({reason}); a dry run shows them"])
    return Block("phases", entries=[_phase(phase) for phase in entry.target.phases(config, OptimConfig())])


def _phase(phase: Phase) -> tuple[str, list[str]]:
    """Which role trains when, for how long, and on how many rows per step."""
    role, unit = phase.leading_role, "passes over the training rows"
    if len(phase.turns) == 1:
        turns = f"the {role} in every step"
    else:
        steps = [f"{turn.role} {plural(turn.steps, 'step')}" for turn in phase.turns]
        turns = f"in turn: {', '.join(steps)}; the budget counts those of the {role}"
    if phase.budget_fraction is not None:
        share = "" if phase.budget_fraction == 1.0 else f"{phase.budget_fraction:g} × "
        budget = f"{share}optim.epochs {unit}, or {share}optim.steps steps where optim.steps is set"
    else:
        budget = f"{phase.epochs:g} {unit}" if phase.steps is None else f"{phase.steps} steps"
    if phase.run_batches:
        rows = "optim.batch_size rows × optim.gradient_accumulation_steps batches"
    else:
        rows, batches = f"{phase.batch_size} rows", phase.gradient_accumulation_steps
        rows += f" × {batches} batches" if batches > 1 else ""
    details = [turns, budget, f"per step: {rows}"]
    if not phase.evaluated:
        details.append("not evaluated: the next phase starts from its last weights")
    return phase.name, details


def _cost(name: str, docs: Docs) -> Block:
    """Passes by role, compared with those of plain distillation."""
    costs = docs.sections.get("Cost", [])
    if not costs:
        return Block("cost", [NOT_DOCUMENTED])
    if name == CONTROL:
        return Block("cost", entries=[(role, [text]) for role, text in costs])
    control_costs = dict(read_docstring(registry.get("method", CONTROL).target).sections["Cost"])
    entries = []
    for role in dict.fromkeys([*dict(costs), *control_costs]):
        cost, control = dict(costs).get(role, "none"), control_costs.get(role, "none")
        entries.append((role, [cost, f"{CONTROL}: {'the same' if cost == control else control}"]))
    return Block(f"cost, compared with {CONTROL}", entries=entries)
