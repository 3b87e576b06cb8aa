"""Atomic writes that follow no link, and JSONL appends under a claim."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kdrun.errors import DataError
from kdrun.formatting import escape_control, plural
from kdrun.storage import claims, json_reader
from kdrun.storage.json_reader import Shape
from kdrun.storage.links import link_error, refuse_link
from kdrun.storage.serialization import to_plain

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""Flag of `os.open` that refuses a link; Windows has none."""
MOST_LOGGED = 5
"""Skipped lines of a file that are named."""
log = logging.getLogger(__name__)
_logged: set[tuple[str, int, str]] = set()
"""File, line and reason of the lines whose skipping was logged."""


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


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all; see `open_atomic`."""
    with open_atomic(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Write a file completely or not at all: write a temporary file next to it, sync and rename.

    The temporary file has a random name and must be new, so that nothing can be planted in its place. A link at `path`
    is replaced, not followed. If the context ends with an error, nothing is written.
    """
    work = path.with_name(f".{path.name}.tmp-{secrets.token_hex(8)}")
    handle = os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
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
            raise link_error(path) from None
        raise
    return os.fdopen(handle, "a+b", buffering=0)


def read_jsonl(path: Path, shape: dict[str, Shape] | None = None) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line; empty lines are skipped.

    Args:
        path: an existing file.
        shape: the keys that every object must have, and the shapes of their values.

    Raises:
        DataError: a line is not such an object; the message names file and line.
    """
    rows = []
    for number, row in jsonl_objects(path, shape):
        if isinstance(row, str):
            raise DataError(f"{path}, line {number}: {row}")
        rows.append(row)
    return rows


def read_valid_jsonl(
    path: Path, shape: dict[str, Shape], find_problem: Callable[[dict[str, Any]], str | None] | None = None
) -> list[dict[str, Any]]:
    """Read a file with one JSON object per line for a report; lines that are not are skipped and logged.

    Args:
        path: a file; a missing file has no lines.
        shape: as for `read_jsonl`.
        find_problem: finds a problem of a row of this shape.
    """
    rows, problems = [], []
    for number, row in jsonl_objects(path, shape) if path.exists() else ():
        problem = row if isinstance(row, str) else find_problem(row) if find_problem else None
        if problem is not None:
            problems.append((number, problem))
        elif isinstance(row, dict):
            rows.append(row)
    log_skipped(path, problems)
    return rows


def jsonl_objects(path: Path, shape: dict[str, Shape] | None = None) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the number and the object of each line of a file, or the problem of the line as a sentence."""
    with path.open("rb") as lines:  # in binary, only a line feed ends a line: a text may contain U+2028
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, json_reader.parse_object(line, shape or {})
            except ValueError as error:
                yield number, str(error)


def log_skipped(path: Path, problems: Sequence[tuple[int, str]]) -> None:
    """Log a warning on the lines of a file that are skipped, once per process.

    Args:
        path: the file.
        problems: line number and reason of each.
    """
    new = [problem for problem in problems if (str(path), *problem) not in _logged]
    if not new:
        return
    _logged.update((str(path), *problem) for problem in new)
    shown = [f"line {number}: {reason}" for number, reason in new[:MOST_LOGGED]]
    if len(new) > len(shown):
        shown.append(f"… and {len(new) - len(shown)} more")
    log.warning(
        "%s: %s skipped: %s", escape_control(str(path)), plural(len(new), "line"), escape_control("; ".join(shown))
    )


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line under a claim, so that concurrent runs on all machines never mix their lines.

    A line that cannot be written completely, e.g. on a full disk, is removed again. So is the incomplete line of a
    process that crashed.

    Raises:
        DataError: the file or its lock is a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(to_plain(record)) + "\n").encode()
    with claims.claimed(Path(f"{path}.lock")), _open_to_append(path) as file:
        size = _size_of_complete_lines(file)
        file.truncate(size)
        try:
            _write_all(file, line)
        except OSError:
            file.truncate(size)
            raise


def truncate_to_complete_lines(path: Path) -> None:
    """Cut off the incomplete last line of a file, which a killed process has left.

    Raises:
        DataError: the path is a link.
    """
    with _open_to_append(path) as file:
        file.truncate(_size_of_complete_lines(file))


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
