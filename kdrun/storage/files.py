"""Atomic writes that follow no link, and JSONL appends under a lock."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from kdrun.errors import DataError
from kdrun.storage.serialization import to_plain

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""Flag of `os.open` that refuses a link; Windows has none."""


def make_folder(folder: Path, root: Path) -> Path:
    """Create a folder and its parents, and return it.

    Args:
        folder: `root` itself or a folder below.
        root: the folder that the user named; a link to it is allowed, a link below it is not.

    Raises:
        DataError: a part of the path below `root` is a link, or no folder can be created there.
    """
    place = root
    for part in folder.relative_to(root).parts:
        place /= part
        refuse_link(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # a file system that has no new folders, such as /proc
        raise DataError(f"the folder {folder} cannot be created ({error.strerror}); name another one") from None
    return folder


def write_atomic(path: Path, text: str) -> None:
    """Write a file completely or not at all: write a temporary file next to it, sync and rename.

    The temporary file has a random name and must be new, so that nothing can be planted in its place. A link at `path`
    is replaced, not followed.
    """
    work = path.with_name(f".{path.name}.tmp-{secrets.token_hex(8)}")
    handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


def append_text(path: Path, text: str) -> None:
    """Append text to a file; create it if missing. One writer at a time, so without a lock.

    Raises:
        DataError: the path is a link.
    """
    with _open_to_append(path) as file:
        _write_all(file, text.encode())


def refuse_link(path: Path) -> None:
    """Refuse a link where another library is about to write a file.

    Raises:
        DataError: the path is a link.
    """
    if path.is_symlink():
        raise _is_link(path)


def _write_all(file: BinaryIO, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += file.write(data[written:])


def _open_to_append(path: Path) -> BinaryIO:
    """Open a file for appending and reading, without a buffer."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_FOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _is_link(path) from None
        raise
    return os.fdopen(handle, "a+b", buffering=0)


def _is_link(path: Path) -> DataError:
    return DataError(f"{path} is a link, through which kdrun would write elsewhere; remove it, or name another folder")


def read_jsonl(path: Path, keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line; empty lines are skipped.

    Args:
        path: an existing file.
        keys: keys that every object must have.

    Raises:
        DataError: a line is not a JSON object with these keys; the message names file and line.
    """
    rows = []
    # `splitlines` would also split at U+2028 inside a text
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise DataError(f"{path}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number} is not a JSON object, got {line[:80]!r}")
        missing = [key for key in keys if key not in row]
        if missing:
            raise DataError(f"{path}, line {number} lacks {', '.join(missing)}, got {line[:80]!r}")
        rows.append(row)
    return rows


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line under a lock, so that concurrent runs never mix their lines.

    A line that cannot be written completely, e.g. on a full disk, is removed again. So is the incomplete line of a
    process that crashed.

    Raises:
        DataError: the file or its lock is a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(to_plain(record)) + "\n").encode()
    lock = Path(f"{path}.lock")
    refuse_link(lock)
    with FileLock(lock), _open_to_append(path) as file:
        size = _size_of_complete_lines(file)
        file.truncate(size)
        try:
            _write_all(file, line)
        except OSError:
            file.truncate(size)
            raise


def _size_of_complete_lines(file: BinaryIO) -> int:
    """Size in bytes of a file up to the end of its last complete line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
