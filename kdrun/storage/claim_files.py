"""Files of a claim: numbers, holders, and the clock of the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from kdrun.storage import json_reader
from kdrun.storage.links import refuse_link

FILE = re.compile(r"([0-9]{1,18})\.(held|free)\.lock")
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW


def make(folder: Path) -> None:
    """Create the lock folder; a lock file of an older version is replaced."""
    refuse_link(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        folder.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)


def files(folder: Path) -> list[Path]:
    """The files of a lock folder; none if it does not exist."""
    try:
        return [folder / name for name in os.listdir(folder) if FILE.fullmatch(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def number(path: Path) -> int:
    """Number of a claim's file."""
    return int(path.name.partition(".")[0])


def latest(folder: Path) -> tuple[Path | None, bool]:
    """The file with the highest number, and whether it is held."""
    latest = max(files(folder), key=lambda path: (number(path), "free" in path.name), default=None)
    return latest, latest is not None and "held" in latest.name


def holder(path: Path) -> dict[str, Any] | None:
    """Process and machine of a holder; None while its file is being written."""
    try:
        return json_reader.parse_object(path.read_bytes(), {"pid": int, "host": str})
    except (ValueError, FileNotFoundError):
        return None


def silence(path: Path, limit: float) -> tuple[float, bool]:
    """Time of the last sign of life, and whether it is at least `limit` seconds old by the clock of the disk."""
    try:
        with path.open("rb") as file:  # opened, so that a network file system asks its server
            modified = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return 0.0, False  # released at this moment
    return modified, _disk_time(path.parent) - modified >= limit


def _disk_time(folder: Path) -> float:
    """The present time by the clock of a folder's file system; by this machine's where no file can be written."""
    path = folder / f"probe-{secrets.token_hex(8)}.lock"
    try:
        handle = os.open(path, NEW_FILE, 0o666)
    except OSError:  # read-only: for a display, since without a file nothing can be taken over
        return time.time()
    try:
        os.write(handle, b" ")
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)


def find_problems(folder: Path) -> list[str]:
    """Problems of a folder's file system with exclusive files and with file locks, as sentences; usually empty."""
    problems, path = [], folder / f".probe-{secrets.token_hex(8)}.lock"
    first = os.open(path, NEW_FILE, 0o666)
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, NEW_FILE, 0o666))
            problems.append(f"two processes can create the same file in {folder}, so nothing can be claimed there")
        try:
            fcntl.flock(first, fcntl.LOCK_EX)
            second = os.open(path, os.O_WRONLY | NO_FOLLOW)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                problems.append(f"file locks (flock) have no effect in {folder}: a second lock succeeds")
            except BlockingIOError:
                pass
            finally:
                os.close(second)
        except OSError as error:
            problems.append(f"file locks (flock) do not work in {folder}: {error.strerror}")
    finally:
        os.close(first)
        path.unlink(missing_ok=True)
    return problems
