"""Cards of tasks, losses and choices, without torch."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kdrun import registry
from kdrun.cli.explain import keys
from kdrun.cli.explain.notes import YamlNotes, read_docstring, read_yaml
from kdrun.config import compose, paths, user_configs
from kdrun.config.schema import RunConfig
from kdrun.config.user_config_file import GLOBAL_AXES

NOT_DOCUMENTED = "none given"
SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")


@dataclass
class Block:
    """A part of a card: text, then entries of a line and the lines below it."""

    heading: str = ""
    text: list[str] = field(default_factory=list)
    entries: list[tuple[str, list[str]]] = field(default_factory=list)


@dataclass
class Card:
    """The description of one name."""

    title: str
    blocks: list[Block]


def yaml_of(group: str, name: str) -> Path:
    """The path of a choice's file; a plugin's method or loss has no file."""
    return user_configs.path_of(group, name) or paths.CONF_DIR / group / f"{name}.yaml"


def notes_of(group: str, name: str) -> YamlNotes:
    """The notes of a choice's file; empty without a file."""
    path = yaml_of(group, name)
    notes = read_yaml(path) if path.exists() else YamlNotes()
    notes.is_global = notes.is_global or group in GLOBAL_AXES
    return notes


def tag_of(key: str, notes: YamlNotes) -> str:
    """The comment on the line of a key or of a section that contains it; empty without a comment."""
    comment, section = next((value.comment for value in notes.values if value.key == key), ""), key
    while not comment and "." in section:
        section = section.rpartition(".")[0]
        comment = notes.sections.get(section, "")
    return comment


def defaults(group: str, name: str, schema: type) -> Any:
    """The default values of a section in a run: its dataclass, overridden by its yaml."""
    node = OmegaConf.structured(schema)
    own = user_configs.user_choices().get((group, name))
    if own is not None:
        node.merge_with(own.values)
    elif yaml_of(group, name).exists():
        values: Any = OmegaConf.load(yaml_of(group, name))
        node.merge_with({key: value for key, value in values.items() if key != "defaults"})
    return node


def choice_card(group: str, name: str) -> Card:
    """Card of a choice of any axis: the notes and values of its file, and the other keys of its section."""
    notes = notes_of(group, name)
    prefix = "" if notes.is_global else f"{group}."
    schema = _schema(group, notes)
    header = notes.header or ([] if schema is None else read_docstring(schema).paragraphs)
    blocks = [Block("", header + notes.remarks), choices_block(notes)]
    values = [value for value in notes.values if value.key != "name"]
    entries = [
        (f"{prefix}{v.key} = {v.text}", meaning_lines(f"{prefix}{v.key}") + source_lines(v.comment)) for v in values
    ]
    blocks.append(Block("sets", [] if entries else ["only the defaults"], entries))
    if schema is None:
        blocks.append(run_block(f"{group}={name}"))
    else:
        set_keys = {value.key for value in values} | {"name"}
        rest = [
            key
            for key in keys.fields(schema)
            if key.path not in set_keys
            and not key.schema
            and key.allowed != "mapping"
            and keys.has_effect(group, name, key.path)
        ]
        required = [k for k in rest if k.default == "required"]
        entries = [(f"{prefix}{k.path}=…   ({k.allowed})", [k.doc]) for k in required]
        blocks.append(Block("must be given", entries=entries))
        optional = ", ".join(k.path for k in rest if k.default != "required")
        blocks.append(Block(f"other keys (kdrun explain {prefix}KEY says more)", [optional] if optional else []))
        overrides = [f"{group}={name}", *(f"{prefix}{k.path}=…" for k in required)]
        blocks.append(Block("run", [f"  kdrun {' '.join(overrides)}"]))
    return Card(f"{group}={name}", blocks)


def choices_block(notes: YamlNotes) -> Block:
    """The choices of a preset or an experiment; the defaults list of a section's file names only its schema."""
    choices = notes.choices if notes.is_global else []
    return Block("chooses", entries=[(f"{group}={name}", _summary(group, name)) for group, name in choices])


def run_block(*overrides: str) -> Block:
    """The command of a run with these overrides, and with the keys that they make required."""
    composed = compose.compose(list(overrides))
    required = [f"{key}=…" for key in sorted(OmegaConf.missing_keys(composed))]
    return Block("run", [f"  kdrun {' '.join([*overrides, *required])}"])


def _schema(group: str, notes: YamlNotes) -> type | None:
    """The dataclass of a choice: that of its registered name, or the group's only one; None for a whole config."""
    if notes.is_global:
        return None
    name = next((value.text for value in notes.values if value.key == "name"), "")
    schemas = keys.sections().get(group, {})
    return schemas.get(name) or schemas.get("")


def meaning_lines(path: str) -> list[str]:
    """The doc of a key as lines of a card; empty for an entry of a mapping."""
    docs = [key.doc for key in keys.find(path).values() if key.path == path]
    return docs[:1]


def source_lines(comment: str) -> list[str]:
    """A source tag as lines of a card; empty without a tag."""
    return [f"source: {comment}"] if comment else []


def _summary(group: str, name: str) -> list[str]:
    """The first sentence of a choice's description; without a description, the values that it sets."""
    notes = notes_of(group, name)
    schema = _schema(group, notes)
    if group == "method":
        paragraphs = read_docstring(inspect.getmodule(registry.get(group, name).target)).paragraphs
    elif notes.header or schema is None or len(keys.sections()[group]) == 1:
        paragraphs = notes.header or [", ".join(f"{v.key} = {v.text}" for v in notes.values if v.key != "name")]
    else:
        paragraphs = read_docstring(schema).paragraphs
    return [SENTENCE.split(text)[0] for text in paragraphs[:1] if text]


def loss_card(name: str) -> Card:
    """Card of a loss: the docstring of its function, its settings, and the tasks that it fits."""
    notes = notes_of("loss", name)
    registered = next((value.text for value in notes.values if value.key == "name"), name)
    blocks = [Block("", notes.header)] if notes.header else []
    if registered != "null":
        entry = registry.get("loss", registered)
        target = entry.target
        docs = read_docstring(target)
        blocks.append(Block("", docs.paragraphs or [NOT_DOCUMENTED]))
        for title, entries in docs.sections.items():
            blocks.append(Block(title.lower(), [t for n, t in entries if not n], [(n, [t]) for n, t in entries if n]))
        blocks += [_loss_settings(registered, notes), Block("tasks", _fitting_tasks(entry))]
        blocks.append(Block("defined by", [f"{target.__module__}.{target.__qualname__}"]))
    return Card(f"loss={name}", [*blocks, Block("run", [f"  kdrun method=kd loss={name}"])])


def _loss_settings(name: str, notes: YamlNotes) -> Block:
    """The settings of a loss besides its name, with their sources."""
    settings = [key for key in keys.fields(keys.sections()["loss"][name]) if key.path != "name"]
    entries = [
        (f"loss.{key.path} = {key.default}   ({key.allowed})", [key.doc, *source_lines(tag_of(key.path, notes))])
        for key in settings
    ]
    return Block("settings", entries=entries)


def _fitting_tasks(entry: registry.Entry) -> list[str]:
    """The tasks that a loss fits, as sentences of a card."""
    if entry.multi_label:
        return ["with any number of classes per row"]
    if entry.two_classes:
        return [f"with three or more classes: {entry.two_classes}"]
    return ["with classes or a score" if entry.regression else "with classes only"]


def axis_card(name: str) -> Card:
    """Card of an axis: its choices with their descriptions, and the keys of its section."""
    choices = compose.choices(name)
    marked = zip(choices, user_configs.mark(name, choices), strict=True)
    entries = [(f"{name}={text}", _description(name, choice)) for choice, text in marked]
    paths = [k for k in keys.all_paths() if k.startswith(f"{name}.") and not k.endswith(".name")]
    blocks = [Block("", [axis_doc(name)]), Block("choices", entries=entries)]
    if paths:
        blocks.append(Block("keys (kdrun explain KEY says more)", [", ".join(paths)]))
    return Card(name, blocks)


def axis_doc(name: str) -> str:
    """The meaning of an axis."""
    return next(key.doc for key in keys.fields(RunConfig) if key.path == name)


def _description(axis: str, name: str) -> list[str]:
    """A line about a choice; that of a loss is from its function."""
    registered = next((v.text for v in notes_of(axis, name).values if v.key == "name"), name)
    if axis == "loss" and registered != "null":
        return read_docstring(registry.get("loss", registered).target).paragraphs[:1]
    return _summary(axis, name)
