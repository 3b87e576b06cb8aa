"""Docstring sections, yaml headers and source tags.

Conventions that `kdrun explain` reads and the tests hold every shipped method to:

- The class docstring of a method opens with its equation. Its `Cost:` section lists the passes of a student step, one
  entry per role, like `Args:`. Its `Differences:` section lists where paper and authors' code differ, one entry per
  setting that chooses between them.
- A value in `conf/` ends in a comment that opens with its source tags: `[paper §3]`, `[code]`, `[ours]`, or several of
  them, then an explanation where needed. After `{…}` a tag holds for the values in the braces. After the key of a
  section it holds for every value of the section without a separate tag, defaults included.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import yaml

TAG = re.compile(r"\[(paper|code|ours)( [^\]]+)?\](\s\[(paper|code|ours)( [^\]]+)?\])*([;,:]?\s.+)?$")
"""A source tag: one or more of the three sources, each with an optional place, then an optional explanation."""

_SECTION = re.compile(r"^([A-Z][a-z]+( [a-z]+)*):$")
_ENTRY = re.compile(r"^([\w.]+): +(.*)$")


@dataclass(frozen=True)
class Docs:
    """A docstring.

    Attributes:
        paragraphs: the paragraphs before the first section, one line each; the first is the summary.
        sections: title → entries `(name, text)`; the name is empty for plain text.
    """

    paragraphs: list[str]
    sections: dict[str, list[tuple[str, str]]]


def read_docstring(of: object) -> Docs:
    """A docstring by paragraphs and sections; empty lists for an object without one."""
    # a subclass without a docstring must not show its base's
    docstring = inspect.cleandoc(getattr(of, "__doc__", None) or "")
    before, sections, lines = [], {}, docstring.splitlines()
    while lines:
        line = lines.pop(0)
        title = _SECTION.match(line)
        if title is None or not (lines and lines[0].startswith(" ")):
            before.append(line)
            continue
        block = []
        while lines and (not lines[0].strip() or lines[0].startswith(" ")):
            block.append(lines.pop(0))
        sections[title.group(1)] = _entries(textwrap.dedent("\n".join(block)))
    return Docs(reflow("\n".join(before)), sections)


def reflow(text: str) -> list[str]:
    """The paragraphs of a text, each in one line; indented lines and list items keep separate lines."""
    paragraphs, is_new = [], True
    for line in text.splitlines():
        is_indented = line.startswith(" ")
        if not line.strip():
            is_new = True
        elif is_new or is_indented or line.startswith("- "):
            paragraphs.append(line.rstrip())
            is_new = is_indented
        else:
            paragraphs[-1] += " " + line.strip()
    return paragraphs


def _entries(block: str) -> list[tuple[str, str]]:
    entries: list[tuple[str, str]] = []
    for line in block.strip().splitlines():
        entry = _ENTRY.match(line)
        if entry:
            entries.append((entry.group(1), entry.group(2)))
        elif line.startswith("- ") or not entries or not line.strip():
            entries.append(("", line.removeprefix("- ").strip()))
        else:
            name, text = entries[-1]
            entries[-1] = (name, f"{text} {line.strip()}".strip())
    return [entry for entry in entries if any(entry)]


def field_docs(schema: type) -> dict[str, str]:
    """The strings under the fields of a dataclass, by field; Python itself drops them."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(schema))).body
    assert isinstance(tree, ast.ClassDef)
    docs = {}
    for node, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(following, ast.Expr):
            docs[node.target.id] = inspect.cleandoc(ast.literal_eval(following.value))
    return docs


@dataclass(frozen=True)
class Value:
    """A value as written in a yaml file, with its trailing comment or the comment of its section."""

    key: str
    text: str
    comment: str = ""


@dataclass
class YamlNotes:
    """The content of a file of `conf/`, with its comments.

    Attributes:
        header: paragraphs of the comment at the top.
        remarks: paragraphs of the other comment lines.
        values: the values of the leaves; keys are relative to the file.
        sections: key of a section → the comment on its line.
        choices: entries `(group, choice)` of the defaults list.
        is_global: whether keys are relative to the whole config instead of the section of the file's group.
    """

    header: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    choices: list[tuple[str, str]] = field(default_factory=list)
    is_global: bool = False


def read_yaml(path: Path) -> YamlNotes:
    """The comments, values and choices of one file of `conf/`."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    notes = YamlNotes(is_global="# @package _global_" in lines)
    comments = [(i, line.strip().removeprefix("#")) for i, line in enumerate(lines) if line.strip().startswith("#")]
    comments = [(i, line.removeprefix(" ")) for i, line in comments if not line.strip().startswith("@package")]
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    notes.header = reflow("\n".join(line for i, line in comments if i < first))
    notes.remarks = reflow("\n".join(line for i, line in comments if i > first))
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return notes
    for key, node in root.value:
        if key.value == "defaults":
            items = [pair for item in node.value if isinstance(item, yaml.MappingNode) for pair in item.value]
            notes.choices = [(_group(name.value), choice.value) for name, choice in items]
        else:
            _collect(notes, text, (key, node), "", "")
    return notes


def _group(name: str) -> str:
    return name.removeprefix("override ").removeprefix("/")


def _collect(notes: YamlNotes, text: str, pair: tuple[yaml.Node, yaml.Node], prefix: str, above: str) -> None:
    """Add the values of a node to the notes.

    Args:
        notes: notes to add to.
        text: text of the file.
        pair: nodes of the key and its value.
        prefix: key of the section, with a dot at the end.
        above: comment of the section.
    """
    key, node = pair
    path = f"{prefix}{key.value}"
    # a block starts after the line of its key, which has its comment; any other node ends before its comment
    is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    mark = key.end_mark if is_block else node.end_mark
    rest = text.splitlines()[mark.line][mark.column :].lstrip(" :,}]")
    comment = rest.removeprefix("#").strip() if rest.startswith("#") else above
    if isinstance(node, yaml.MappingNode) and node.value:
        if is_block and comment:
            notes.sections[path] = comment
        for inner in node.value:
            _collect(notes, text, inner, f"{path}.", comment)
    else:
        value = " ".join(text[node.start_mark.index : node.end_mark.index].split())
        notes.values.append(Value(path, value, comment))
