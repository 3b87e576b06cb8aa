"""Cards of presets and keys."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import OmegaConf

from kdrun.cli.explain import keys
from kdrun.cli.explain.cards import (
    Block,
    Card,
    choices_block,
    meaning_lines,
    notes_of,
    run_block,
    source_lines,
    tag_of,
    yaml_of,
)
from kdrun.cli.explain.notes import YamlNotes, read_yaml
from kdrun.config import compose, paths
from kdrun.storage.serialization import flatten


def preset_card(name: str) -> Card:
    """Card of a preset: header, choices, and every value that differs from a run without overrides."""
    notes, plain = notes_of("preset", name), compose.compose([]).preset
    blocks = [Block("", notes.header), choices_block(notes)]
    if name == plain:
        entries = [(f"{v.key} = {v.text}", meaning_lines(v.key) + source_lines(v.comment)) for v in notes.values]
        blocks.append(Block("sets (this is the default preset)", entries=entries))
    else:
        blocks.append(_difference(name, plain, notes))
    blocks += _settings_by_choice(name)
    return Card(f"preset={name}", [*blocks, run_block(f"preset={name}")])


def _difference(name: str, plain: str, notes: YamlNotes) -> Block:
    # a task for which neither preset has special settings, which would look like settings of the preset
    tasks = [
        t for t in compose.choices("task") if not any(yaml_of(f"preset/by_task/{p}", t).exists() for p in (name, plain))
    ]
    values, plain_values = (config_leaves(compose.compose([f"preset={p}", f"task={tasks[0]}"])) for p in (name, plain))
    entries = []
    for key, value in values.items():
        # a key that only this preset has, without a value, is no difference
        if key == "preset" or plain_values.get(key) == value:
            continue
        other = f"   ({plain}: {keys.yaml_text(plain_values[key])})" if key in plain_values else ""
        entries.append((f"{key} = {keys.yaml_text(value)}{other}", source_lines(tag_of(key, notes))))
    return Block(f"differs from preset={plain} in", [] if entries else ["nothing"], entries)


def _settings_by_choice(name: str) -> list[Block]:
    """One block per axis (student, task, method) with a preset's settings for single choices of that axis.

    config.yaml names the folders of these settings.
    """
    blocks = []
    for group, pattern in read_yaml(paths.CONF_DIR / "config.yaml").choices:
        axis = re.search(r"/\$\{(\w+)\}$", pattern)
        if axis is None or not group.startswith("optional "):
            continue
        folder = group.removeprefix("optional ")
        entries = []
        for path in sorted((paths.CONF_DIR / folder / name).glob("*.yaml")):
            settings = read_yaml(path)
            lines = [f"{v.key} = {v.text}" + (f"   source: {v.comment}" if v.comment else "") for v in settings.values]
            entries.append((f"{axis.group(1)}={path.stem}", [*settings.header, *lines]))
        if entries:
            blocks.append(Block(f"its settings for one {axis.group(1)}", entries=entries))
    return blocks


def config_leaves(node: Any) -> dict[str, Any]:
    """Return the leaves of a composed config by dotted key; a mandatory value stays `???`."""
    values: Any = OmegaConf.to_container(node)
    return flatten(values, keep_empty=True)


def key_card(path: str) -> Card:
    """Card of a key: meaning, type, range, default, value in a run without overrides, and the files that set it."""
    owners: dict[keys.Key, list[str]] = {}
    for owner, key in keys.find(path).items():
        owners.setdefault(key, []).append(owner)
    blocks = [_key_block(path, key, ", ".join(names)) for key, names in owners.items()]
    plain = {k: v for k, v in config_leaves(compose.compose([])).items() if k == path or k.startswith(f"{path}.")}
    values = [f"{k} = {keys.yaml_text(v)}" for k, v in plain.items()] or ["n/a: such a run does not have this key"]
    return Card(path, [*blocks, Block("in a run without overrides", values), _files_that_set(path)])


def _key_block(path: str, key: keys.Key, owners: str) -> Block:
    heading = f"with {owners}" if owners else ""
    if key.schema is not None:
        leaves = [k for k in keys.fields(key.schema, f"{path}.") if not k.schema]
        inner = [(f"{k.path} = {k.default}   ({k.allowed})", [k.doc]) for k in leaves]
        return Block(heading, [key.doc], inner)
    if key.path != path:
        return Block(heading, [f"an entry of {key.path}: {key.doc}"])
    return Block(heading, [key.doc], [("may be", [key.allowed]), ("default", [key.default])])


def _files_that_set(path: str) -> Block:
    by_file: dict[str, list[str]] = {}
    for file in sorted(paths.CONF_DIR.rglob("*.yaml")):
        relative, notes = file.relative_to(paths.CONF_DIR), read_yaml(file)
        prefix = "" if notes.is_global or len(relative.parts) == 1 else f"{relative.parts[0]}."
        for value in notes.values:
            name = f"{prefix}{value.key}"
            if name == path or name.startswith(f"{path}."):
                by_file.setdefault(f"conf/{relative}", []).extend(
                    [f"{name} = {value.text}", *source_lines(value.comment)]
                )
    return Block("set by", [] if by_file else ["no file of conf/"], list(by_file.items()))
