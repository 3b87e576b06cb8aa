"""Write the published folder, without traces of this machine."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdrun.deployment.card_facts import CardFacts
from kdrun.deployment.export_folder import new_folder
from kdrun.deployment.model_card import MARK, card_text
from kdrun.errors import ConfigError, DataError, ModelError
from kdrun.reporting.tables.publish import PATH
from kdrun.storage.files import refuse_link, write_atomic
from kdrun.storage.json_reader import read_object

CARD = "README.md"
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
COPIED = (
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
    "chat_template.jinja",
)  # fmt: skip
"""Files of a tokenizer that are copied as they are."""
SETTINGS = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
"""JSON files whose traces of this machine are removed."""
TRACES = ("_name_or_path", "name_or_path", "is_local", "local_files_only", "auto_map")
"""Keys of these files that name places or code."""
E_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
LEAST_NAME = 4
"""Shortest name of this machine or its user that is looked for; a shorter one is part of many words."""


def check_output(folder: Path) -> None:
    """Check that a model may be written into a folder: it is new, empty, or of an earlier `kdrun publish`.

    Raises:
        ConfigError: it holds something else, or its parent is missing.
        DataError: it is a link.
    """
    refuse_link(folder)
    card = folder / CARD
    is_ours = card.is_file() and MARK in card.read_text(encoding="utf-8", errors="replace")
    if folder.exists() and not (folder.is_dir() and (is_ours or not any(folder.iterdir()))):
        kind = "holds other files" if folder.is_dir() else "is a file"
        raise ConfigError([f"output={folder} {kind}; name a new folder, an empty one, or that of an earlier publish"])
    if not folder.absolute().parent.is_dir():
        raise ConfigError([f"output={folder}: the folder {folder.absolute().parent} does not exist; create it first"])


def write_folder(facts: CardFacts, folder: Path) -> list[str]:
    """Write the folder of a student with its card, completely or not at all.

    Args:
        facts: of the run.
        folder: one that passes `check_output`.

    Returns:
        Names of the files.

    Raises:
        ModelError: a file would tell something of this machine.
        DataError: a JSON file of the student is damaged.
    """
    source = facts.saved.folder
    with new_folder(folder) as work:
        for path in sorted(path for pattern in WEIGHTS for path in source.glob(pattern)):
            shutil.copyfile(path, work / path.name)
        for name in COPIED:
            if (source / name).is_file():
                shutil.copyfile(source / name, work / name)
        for name in SETTINGS:
            if (source / name).is_file():
                content = read_object((source / name).read_bytes(), {}, str(source / name))
                text = json.dumps(_without_traces(content), indent=2, ensure_ascii=False)
                write_atomic(work / name, f"{text}\n")
        write_atomic(work / CARD, card_text(facts))
        problems = list(leaks(work))
        if problems:
            raise ModelError(
                "the folder was not written, because it would tell something of this machine: "
                f"{'; '.join(problems[:5])}; rename it where it comes from (a folder's name, a label), or remove it"
            )
    return sorted(path.name for path in folder.iterdir())


def _without_traces(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_traces(item) for key, item in value.items() if key not in TRACES}
    return [_without_traces(item) for item in value] if isinstance(value, list) else value


def leaks(folder: Path) -> Iterator[str]:
    """Paths, e-mail addresses and names of this machine in the card and the settings, one sentence each."""
    for name in (CARD, *SETTINGS):
        path = folder / name
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        try:
            texts = text.splitlines() if name == CARD else list(_strings(json.loads(text)))
        except ValueError as error:
            raise DataError(f"{path} is not JSON: {error}") from None
        for one in texts:
            for what, pattern in _patterns():
                match = pattern.search(one)
                if match is not None:
                    yield f"{name} has {what} {match[0][:80]!r}"


def _patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    yield "the path", PATH
    yield "the e-mail address", E_MAIL
    for what, name in (("the name of this machine", socket.gethostname()), ("the name of the user", _user())):
        if len(name) >= LEAST_NAME:
            yield what, re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def _user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for the user
        return ""
    return "" if user == "root" else user


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
