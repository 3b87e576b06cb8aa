"""Atomic writes and JSONL appends under a lock."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from filelock import FileLock

from kdrun.errors import DataError
from kdrun.storage.serialization import to_plain


def write_atomic(path: Path, text: str) -> None:
    """Write a file completely or not at all: write a temporary file next to it, sync and rename."""
    work = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with work.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


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
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(to_plain(record)) + "\n").encode()
    with FileLock(f"{path}.lock"), path.open("a+b", buffering=0) as file:
        size = _size_of_complete_lines(file)
        file.truncate(size)
        written = 0
        try:
            while written < len(line):
                written += file.write(line[written:])
        except OSError:
            file.truncate(size)
            raise


def _size_of_complete_lines(file: FileIO) -> int:
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
