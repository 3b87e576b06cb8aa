"""Find the file of each split in a task's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kdrun.data.local_folder import check_inside
from kdrun.errors import DataError, did_you_mean


def find_files(
    folder: Path, files: Mapping[str, str], names: Sequence[str]
) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Yield each requested split with its file and notes on the file.

    Args:
        folder: the task's folder.
        files: split → file name or pattern.
        names: the requested splits.

    Raises:
        DataError: a split has no file name, or its file is missing.
    """
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"task.rows has a split {missing[0]!r}, but task.folder.files names no file for it")
    for name in names:
        yield name, *find_file(folder, files[name], name)


def find_file(folder: Path, name: str, split: str) -> tuple[Path, tuple[str, ...]]:
    """The file of a split, by name or as the only match of a pattern; a match by pattern also gives a note.

    Raises:
        DataError: no file matches, several do, or the file is a link out of the folder.
    """
    exact = folder / name.replace("*", "")
    if exact.is_file():
        return check_inside(exact, folder), ()
    files = sorted(path.name for path in folder.iterdir() if path.is_file())
    matches = sorted(folder.glob(name)) if "*" in name else []
    if not matches:
        ending = did_you_mean(exact.name, files) or "."
        raise DataError(f"{exact} is missing{ending} {folder} holds {listing(files)}")
    if len(matches) > 1:
        names = listing([path.name for path in matches])
        raise DataError(f"{folder} has several files for {split}: {names}; rename one of them to {exact.name}")
    note = f"{split} was read from {folder.name}/{matches[0].name}; there is no {exact.name}"
    return check_inside(matches[0], folder), (note,)


def listing(names: list[str]) -> str:
    """The first names of a folder, for messages."""
    first = ", ".join(names[:12]) or "nothing"
    return f"{first} and {len(names) - 12} more" if len(names) > 12 else first
