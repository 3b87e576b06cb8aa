"""Requests for written text, and the folder of its rows."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config.task import TaskConfig
from kdrun.config.validation.own_data import OWN
from kdrun.data.sources.generated_text import CARD, FILE, read_generated
from kdrun.data.splits import TEXT_COLUMNS
from kdrun.errors import ConfigError, DataError, Problem, did_you_mean
from kdrun.formatting import escape_control
from kdrun.storage import json_reader
from kdrun.storage.files import refuse_link
from kdrun.storage.hashing import file_digest
from kdrun.version import __version__

LABEL = "{label}"
METHOD = "write"
"""`method` in the card of written text."""
README = "README.md"


@dataclass(frozen=True)
class WrittenRow:
    """A row of written text.

    Attributes:
        texts: one or two.
        label: the class that it was written for.
    """

    texts: tuple[str, ...]
    label: str


def request_problems(options: Mapping[str, Any], task: TaskConfig) -> Iterator[Problem]:
    """Conflicts between the options of `kdrun write`, and tasks for which it cannot write.

    Args:
        options: by name.
        task: of the rows.
    """
    model, source = options["model"], options["input"]
    if task.name == OWN:
        text = "kdrun write: task=own has the classes of its files, and runs on written text have none; name a task"
        yield Problem("task", OWN, text)
    if not task.labels or task.is_multi_label:
        what = "any number of classes per row" if task.is_multi_label else "no classes"
        yield Problem("task", task.name, f"kdrun write: rows have one class, and task={task.name} has {what}")
    if (model is None) == (source is None):
        text = "set model=FOLDER_OR_NAME, which writes the rows, or input=FILE, whose rows are imported; one of the two"
        yield Problem("model", model, text)
        return
    prompt_options = [name for name in ("prompt", "prompts") if options[name] is not None]
    if len(prompt_options) > 1:
        yield Problem("prompt", None, "prompt and prompts both name the prompts; remove one")
    if source is not None:
        if options["revision"] is not None:
            text = f"revision={options['revision']} has no effect with input={source}; remove it"
            yield Problem("revision", options["revision"], text)
        return
    if options["source"] is not None:
        text = f"source={options['source']} belongs to input=FILE; the card of written text names the model"
        yield Problem("source", options["source"], text)
    if len(task.text) > 1:
        text = (
            f"task={task.name} has two texts per row, and a prompt is continued by one; write the rows elsewhere and "
            "import them with input=FILE"
        )
        yield Problem("task", task.name, text)
    if not prompt_options:
        text = f"set prompt='… {LABEL} …' or prompts=FILE.json with one prompt per class; one of the two"
        yield Problem("prompt", None, text)
    elif options["prompt"] is not None and options["prompt"].count(LABEL) != 1:
        text = f"prompt={options['prompt']!r} must have {LABEL} once, where the class is named"
        yield Problem("prompt", options["prompt"], text)


def prompts_of(prompt: str | None, path: str | None, task: TaskConfig) -> dict[str, str] | None:
    """The prompt of each class, from a template or a JSON file; None without either.

    Raises:
        ConfigError: the file is missing, is no object of strings, or has other classes.
    """
    if prompt is not None:
        return {label: prompt.replace(LABEL, label) for label in task.labels}
    if path is None:
        return None
    try:
        content = json_reader.parse(Path(path).expanduser().read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError([f"prompts={path} cannot be read as JSON: {error}"]) from None
    if not isinstance(content, dict) or not all(isinstance(text, str) and text.strip() for text in content.values()):
        raise ConfigError([f"prompts={path} must be an object {{class: prompt}} with texts that are not empty"])
    unknown = [f"{name!r}{did_you_mean(name, task.labels)}" for name in content if name not in task.labels]
    missing = [repr(name) for name in task.labels if name not in content]
    faults = [f"has {', '.join(unknown)}"] if unknown else []
    faults += [f"lacks {', '.join(missing)}"] if missing else []
    if faults:
        classes = ", ".join(task.labels)
        raise ConfigError([f"prompts={path} {' and '.join(faults)}; the classes of task={task.name} are {classes}"])
    return {label: content[label] for label in task.labels}


def check_output(folder: Path) -> list[Problem]:
    """The problem of an output folder: it exists with other content, or has no parent."""
    problem = ""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        problem = "it is not a folder; name a new one"
    elif folder.is_dir() and any(folder.iterdir()):
        problem = "it is not empty; name a new folder, or delete it"
    elif not folder.absolute().parent.is_dir():
        problem = f"there is no folder {folder.absolute().parent}; create it first"
    return [Problem("output", str(folder), f"output={folder}: {problem}")] if problem else []


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of a new one when the context ends without an error."""
    work = folder.absolute().with_name(f".{folder.name}.tmp-{secrets.token_hex(8)}")
    work.mkdir()
    try:
        yield work
        refuse_link(folder)
        if folder.is_dir():
            folder.rmdir()  # empty, as `check_output` found
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def save_rows(folder: Path, rows: Iterable[WrittenRow], facts: Mapping[str, Any], task: TaskConfig) -> dict[str, Any]:
    """Write the rows with their card and a README.

    Args:
        folder: a new folder that passes `check_output`.
        rows: may be an iterator, which is read once and fills `facts`.
        facts: content of the card about the writer; read when all rows are written.
        task: of the rows.

    Returns:
        The card.

    Raises:
        DataError: there are no rows.
    """
    counts = dict.fromkeys(task.labels, 0)
    with new_folder(folder) as work:
        with (work / FILE).open("w", encoding="utf-8") as file:
            for row in rows:
                line = dict(zip(TEXT_COLUMNS, row.texts, strict=False)) | {"wanted": row.label}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                counts[row.label] += 1
            file.flush()
            os.fsync(file.fileno())
        if not any(counts.values()):
            raise DataError(f"no row to write into {folder}: every text was empty, too short or repeated")
        split = read_generated(str(work / FILE), task)  # the rows as a run reads them
        card = {
            "kdrun": __version__,
            "format": 1,
            "task": task.name,
            "labels": list(task.labels),
            "method": METHOD,
            **facts,
            "rows_by_class": counts,
            "file": {
                "name": FILE,
                "rows": split.num_rows,
                "sha256": file_digest(work / FILE),
                "fingerprint": split.fingerprint,
            },
        }
        (work / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (work / README).write_text(card_markdown(card), encoding="utf-8")
    return card


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card as a README in Markdown."""
    prompts = "\n".join(f"- {name}: `{_code(prompt)}`" for name, prompt in (card["prompts"] or {}).items())
    classes = "\n".join(f"| {name} | {count} |" for name, count in card["rows_by_class"].items())
    license_line = escape_control(card["license"]) if card["license"] else "not given"
    return f"""# Text written for {card["task"]}

{card["file"]["rows"]} rows in `{card["file"]["name"]}`, written by {escape_control(card["generator"])}. The texts are \
unchecked: a label is the class that a text was written for, right or wrong.

    {escape_control(card["provenance"]["command"])}

Each line is a JSON object with the text (and `text_pair`) and its class `wanted`. License: {license_line}.

## Prompts

{prompts or "not known"}

## Rows

| class | rows |
|---|---:|
{classes}

All settings: `card.json`. To train a student on the rows:

    kdrun method=sungen task={card["task"]} data=generated data.path=THIS_FOLDER
"""


def _code(text: str) -> str:
    """A text for an inline code span, in which a back quote would end the span."""
    return escape_control(text).replace("`", "'")
