"""Cards of tasks, losses and choices.

Only the card of a loss imports torch.
"""

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
from kdrun.config import compose, domains, paths
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig
from kdrun.config.validation import extraction

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
    return paths.CONF_DIR / group / f"{name}.yaml"


def notes_of(group: str, name: str) -> YamlNotes:
    """The notes of a choice's file; empty without a file."""
    path = yaml_of(group, name)
    return read_yaml(path) if path.exists() else YamlNotes()


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
    if yaml_of(group, name).exists():
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
        rest = [k for k in keys.fields(schema) if k.path not in set_keys and not k.schema and k.allowed != "mapping"]
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


def task_card(name: str) -> Card:
    """Card of a task: texts, labels, metrics, domains, official rows, folder layout, and one synthetic example."""
    notes = notes_of("task", name)
    config: Any = OmegaConf.to_object(defaults("task", name, TaskConfig))
    metrics = [f"{metric} (headline)" if metric == config.headline else metric for metric in config.metrics]
    layout = {key: keys.yaml_text(value) for key, value in config.folder.items()}
    facts = [
        ("predicts", [_predicts(config)]),
        ("from", [" and ".join(config.text) + (" (columns at the hub)" if _at_hub(config) else "")]),
        ("metrics", [", ".join(metrics)]),
        ("official rows", [_rows(config)]),
    ]
    overrides = f"task={name} preset={extraction.EXTRACTION_PRESET}" if config.is_extraction else f"task={name}"
    if config.domains:
        facts += [("domains", [", ".join(config.domains)]), ("by domain", _by_domain(config))]
    return Card(
        f"task={name}",
        [
            Block("", notes.header),
            Block("task", entries=facts),
            Block("folder layout (data=folder data.dir=PATH)", notes.remarks, [(k, [v]) for k, v in layout.items()]),
            _example(config),
            Block("run", [*_embedded_command(config, overrides), f"  kdrun {overrides} data=folder data.dir=PATH"]),
        ],
    )


def _predicts(config: TaskConfig) -> str:
    """Description of the task's answers: a class, a score, or a text."""
    if config.is_extraction:
        return f"a text that names entities by type: {', '.join(config.entities)} (text-to-text models only)"
    if config.is_regression:
        return f"a score from {' to '.join(keys.yaml_text(end) for end in config.range)}"
    return f"one of {', '.join(f'{label} ({i})' for i, label in enumerate(config.labels))}"


def _at_hub(config: TaskConfig) -> bool:
    return not (domains.unsupported_source(config, "hub") or extraction.unsupported_source(config, "hub"))


def _rows(config: TaskConfig) -> str:
    """Official rows per split; also the reported split if it differs from the split that chooses the checkpoint."""
    splits = ", ".join(f"{split} {rows}" for split, rows in config.rows.items())
    if not config.dev_splits:
        return f"{splits or 'none'}; no split is evaluated: task.rows lacks dev"
    dev_split = config.dev_splits[0]
    return (
        splits
        if config.report_split == dev_split
        else f"{splits}; {dev_split} chooses, {config.report_split} is reported"
    )


def _by_domain(config: TaskConfig) -> list[str]:
    """Scores of a task by domain, and the splits of its by-domain protocol if that is separate."""
    scores = (
        f"{config.headline} is the mean over domains, {config.headline}_{config.domains[0]} and so on are reported too"
    )
    if config.is_by_domain:
        return [scores]
    splits = _rows(domains.by_domain_task(config))
    return [f"{scores}; for methods that ask for domains (method.domain=…), with splits {splits}"]


def _embedded_command(config: TaskConfig, overrides: str) -> list[str]:
    """The command on embedded data; empty for a task that the embedded data lacks."""
    from kdrun.data import embedded

    return [f"  kdrun {overrides}"] if config.name in embedded.TASKS else []


def _example(config: TaskConfig) -> Block:
    from kdrun.data import embedded

    heading = "one example of the embedded data (synthetic)"
    if config.name not in embedded.TASKS:
        return Block(heading, ["n/a: the embedded data has no such task"])
    rows = embedded.generate(config.name, config.dev_splits[0])
    texts = [rows.text[0], *(rows.text_pair[:1] if rows.text_pair else [])]
    if rows.answer is not None:
        return Block(heading, entries=[(config.text[0], texts), ("answer", rows.answer[:1])])
    label = rows.label[0]
    label_text = keys.yaml_text(label) if config.is_regression else f"{config.labels[int(label)]} ({label})"
    return Block(
        heading, entries=[*((n, [t]) for n, t in zip(config.text, texts, strict=True)), ("label", [label_text])]
    )


def loss_card(name: str) -> Card:
    """Card of a loss: the docstring of its function. The only card that imports torch."""
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
        blocks.append(Block("tasks", ["with classes or a score" if entry.regression else "with classes only"]))
        blocks.append(Block("defined by", [f"{target.__module__}.{target.__qualname__}"]))
    return Card(f"loss={name}", [*blocks, Block("run", [f"  kdrun method=kd loss={name}"])])


def axis_card(name: str) -> Card:
    """Card of an axis: its choices with their descriptions, and the keys of its section."""
    entries = [(f"{name}={choice}", _description(name, choice)) for choice in compose.choices(name)]
    paths = [k for k in keys.all_paths() if k.startswith(f"{name}.") and not k.endswith(".name")]
    blocks = [Block("", [axis_doc(name)]), Block("choices", entries=entries)]
    if paths:
        blocks.append(Block("keys (kdrun explain KEY says more)", [", ".join(paths)]))
    return Card(name, blocks)


def axis_doc(name: str) -> str:
    """The meaning of an axis."""
    return next(key.doc for key in keys.fields(RunConfig) if key.path == name)


def _description(axis: str, name: str) -> list[str]:
    """A line about a choice; that of a loss is from its function, which imports torch."""
    registered = next((v.text for v in notes_of(axis, name).values if v.key == "name"), name)
    if axis == "loss" and registered != "null":
        return read_docstring(registry.get("loss", registered).target).paragraphs[:1]
    return _summary(axis, name)
