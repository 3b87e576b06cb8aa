"""Keep the cache within KDRUN_CACHE_LIMIT by removing the least recently used entries.

Beside each entry lies an empty file `<entry>.used`: the time it was written is that of the last use (the access times
of a file system are often switched off), and a run holds a shared lock on it from when it looks the entry up until its
end. The system lets such a lock go with the process, however that dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from kdrun.errors import ConfigError

LIMIT = "KDRUN_CACHE_LIMIT"
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
log = logging.getLogger(__name__)

_held: dict[Path, int] = {}
"""Entries in use by this process, and the descriptor that holds the lock of each."""


@dataclass(frozen=True)
class Entry:
    """An entry of the cache.

    Attributes:
        folder: where it lies.
        size: bytes of its files.
        used: when it was last looked up, Unix time.
    """

    folder: Path
    size: int
    used: float


def cache_limit() -> int | None:
    """The most bytes that the cache may hold, from `KDRUN_CACHE_LIMIT`; None where it is not set: no limit.

    Raises:
        ConfigError: it is no size.
    """
    text = os.environ.get(LIMIT, "").strip()
    if not text:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]B)?", text, re.IGNORECASE)
    if match is None:
        raise ConfigError([f"{LIMIT}={text} is no size; write a number and KB, MB, GB or TB: {LIMIT}=20GB"])
    return int(float(match[1]) * UNITS[(match[2] or "").upper()])


def mark_used(folder: Path) -> None:
    """Note that an entry is used now, and keep it until `let_go`. The caller holds the entry's own lock."""
    if folder not in _held:
        handle = os.open(_mark(folder), os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_SH)
        _held[folder] = handle
    os.utime(_held[folder])


def release_all() -> None:
    """At a run's end: nothing of the cache is in use by this process any more."""
    while _held:
        os.close(_held.popitem()[1])


def entries(root: Path) -> list[Entry]:
    """What the cache holds, least recently used first."""
    found = []
    for folder in root.glob("*/*"):
        if folder.is_dir() and ".tmp-" not in folder.name:
            mark = _mark(folder)
            try:
                # an entry of before there were marks was last used, as far as anybody knows, when it was made
                used = (mark if mark.exists() else folder).stat().st_mtime
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            except FileNotFoundError:  # somebody removes it at this moment
                continue
            found.append(Entry(folder, size, used))
    return sorted(found, key=lambda one: one.used)


def evict(root: Path) -> list[Path]:
    """Remove least recently used entries until the cache is within its limit, if it has one.

    Returns:
        Folders of the entries that were removed.
    """
    most = cache_limit()
    if most is None:
        return []
    found = entries(root)
    total, gone = sum(one.size for one in found), []
    for one in found:
        if total > most and _remove(one.folder):
            log.debug("cache entry %s (%d bytes) removed: %s", one.folder, one.size, LIMIT)
            total -= one.size
            gone.append(one.folder)
    if total > most:
        held = f"the cache {root} holds {total / 1e6:,.1f} MB, more than {LIMIT}={os.environ[LIMIT]}"
        log.warning("%s: the rest is in use by runs", held)
    return gone


def _remove(folder: Path) -> bool:
    """Remove an entry, unless somebody uses or makes it."""
    try:
        with FileLock(f"{folder}.lock", timeout=0):
            handle = os.open(_mark(folder), os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                away = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
                folder.rename(away)  # so that no process that dies leaves half of it
                shutil.rmtree(away, ignore_errors=True)
                _mark(folder).unlink(missing_ok=True)
            finally:
                os.close(handle)
    except (Timeout, BlockingIOError, FileNotFoundError):  # at work there, in use, removed already
        return False
    return True


def _mark(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.used")
