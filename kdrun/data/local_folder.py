"""Refuse data folders that refer to files elsewhere.

A folder from a stranger could otherwise carry private files of this machine into results, or make this machine fetch an
address.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdrun.errors import DataError
from kdrun.storage import yaml_reader

DESCRIPTIONS = ("README.md", ".huggingface.yaml")
"""Files in which `datasets` looks for the data files of a folder."""


def check_inside(file: Path, folder: Path) -> Path:
    """Return a file of a folder after checking that no link leads out of the folder.

    Args:
        file: a path below `folder`.
        folder: the folder that the user named; a link to it is allowed.

    Raises:
        DataError: the file is elsewhere.
    """
    target = file.resolve()
    if not target.is_relative_to(folder.resolve()):
        raise DataError(
            f"{file} is a link to {target}, outside of {folder}: a data folder must contain its files; copy the file "
            "into the folder, or name the folder that contains the file"
        )
    return file


def check_dataset_folder(folder: Path) -> None:
    """Check a folder that `datasets` will read: no link leads out of the folder, and no file is named elsewhere.

    Raises:
        DataError: a file is a link out of the folder, or the README lists an address or a path outside of the folder.
    """
    for path in sorted(folder.rglob("*")):
        check_inside(path, folder)
    for name in DESCRIPTIONS:
        file = folder / name
        if not file.is_file():
            continue
        # every string of the section, wherever it is: data files, folders and options of readers
        for listed in _strings(_metadata(file).get("configs")):
            # `::` chains file systems of fsspec, as in zip://a.csv::http://…
            is_address = "://" in listed or "::" in listed
            if is_address or Path(listed).is_absolute() or listed.startswith("~") or ".." in Path(listed).parts:
                raise DataError(
                    f"{file} lists the data file {listed!r}, outside of the folder; only files of the folder itself "
                    "are read: download the file into the folder and list its name"
                )


def _metadata(file: Path) -> dict[str, Any]:
    """The metadata of a description: the whole YAML file, or the front matter of a Markdown file."""
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".md":
            _, _, text = text.partition("---") if text.lstrip("\ufeff \n").startswith("---") else ("", "", "")
            text = text.partition("\n---")[0]
        content = yaml_reader.parse(text)
    except ValueError as error:
        raise DataError(f"{file} is not readable as YAML: {error}; fix or delete the file") from None
    return content if isinstance(content, dict) else {}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
