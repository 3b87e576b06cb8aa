"""Find an exported student by its export.json; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.errors import ModelError
from kdrun.storage.json_reader import Rule, Shape, read_object

EXPORT = "export.json"
SCORE, MULTI_LABEL, CLASSES = "score", "multi_label", "classes"
"""Values of `kind`."""
SHAPE: dict[str, Shape] = {
    "file": Rule("the name of a file in the folder", lambda name: isinstance(name, str) and Path(name).name == name),
    "task": str,
    "kind": Rule(f"{CLASSES}, {MULTI_LABEL} or {SCORE}", lambda kind: kind in (CLASSES, MULTI_LABEL, SCORE)),
    "labels": [str],
    "text?": [str],
    "num_texts": Rule("1, 2 or null", lambda count: count is None or (type(count) is int and count in (1, 2))),
    "max_length": Rule("a number of tokens, > 0", lambda value: type(value) is int and value > 0),
    "split_special_tokens": bool,
    "inputs": [str],
}
"""Keys of export.json that decide how the file is used."""


@dataclass(frozen=True)
class ExportedFolder:
    """A student that `kdrun export` wrote, and what is known about it before it is loaded.

    Attributes:
        folder: the folder.
        file: the model in it.
        task: its task: labels and text columns.
        max_length: most tokens per row.
        num_texts: texts per row; None if a row may have one or two.
        inputs: names of the columns of a batch that the file reads.
        split_special_tokens: whether strings of special tokens in a text are plain text.
    """

    folder: Path
    file: Path
    task: TaskConfig
    max_length: int
    num_texts: int | None
    inputs: list[str]
    split_special_tokens: bool


def find_export(folder: Path) -> ExportedFolder | None:
    """The export in a folder; None for any other path.

    Raises:
        ModelError: the model file is missing.
        DataError: `export.json` was not written by kdrun.
    """
    facts_file = folder / EXPORT
    if not facts_file.is_file():
        return None
    facts = read_object(facts_file.read_bytes(), SHAPE, str(facts_file))
    file = folder / facts["file"]
    if not file.is_file():
        raise ModelError(f"{folder} has no {file.name}, which its {EXPORT} names; export the run again")
    kind = facts["kind"]
    task = TaskConfig(
        name=facts["task"],
        headline="accuracy",
        text=facts.get("text", []),
        labels=[] if kind == SCORE else facts["labels"],
        kind=TaskKind.multi_label if kind == MULTI_LABEL else None,
    )
    return ExportedFolder(
        folder, file, task, facts["max_length"], facts["num_texts"], facts["inputs"], facts["split_special_tokens"]
    )
