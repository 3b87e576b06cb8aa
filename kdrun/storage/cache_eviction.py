"""Keep the cache within KDRUN_CACHE_LIMIT by deleting the least recently used entries.

Next to each entry is an empty file `<entry>.used`. Its modification time is the time of the last use, because many file
systems record no access times. A run that has looked an entry up holds a shared lock on this file until the run ends.
The operating system releases the lock when the process ends, even after a crash.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kdrun.errors import ConfigError
from kdrun.formatting import parse_bytes
from kdrun.storage.claims import Claim, HeldError

LIMIT = "KDRUN_CACHE_LIMIT"
log = logging.getLogger(__name__)

_lock_handles: dict[Path, int] = {}
"""Folder of each entry in use by this process → file descriptor that holds its lock."""


@dataclass(frozen=True)
class Entry:
    """An entry of the cache.

    Attributes:
        folder: its folder.
        size: bytes of its files.
        used: Unix time of its last use.
    """

    folder: Path
    size: int
    used: float


def cache_limit() -> int | None:
    """The largest size of the cache in bytes, from `KDRUN_CACHE_LIMIT`; None without a limit.

    Raises:
        ConfigError: the variable is not a size.
    """
    text = os.environ.get(LIMIT, "").strip()
    if not text:
        return None
    limit = parse_bytes(text)
    if limit is None:
        raise ConfigError([f"{LIMIT}={text} is not a size; write a number and KB, MB, GB or TB: {LIMIT}=20GB"])
    return limit


def mark_used(folder: Path) -> None:
    """Mark an entry as used now, and protect it until `release_all`. The caller holds the entry's build lock."""
    if folder not in _lock_handles:
        handle = os.open(_mark(folder), os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_SH)
        _lock_handles[folder] = handle
    os.utime(_lock_handles[folder])


def release_all() -> None:
    """Release every entry that this process uses, at the end of a run."""
    while _lock_handles:
        os.close(_lock_handles.popitem()[1])


def entries(root: Path) -> list[Entry]:
    """The entries of the cache, least recently used first."""
    cached = []
    for folder in root.glob("*/*"):
        if folder.is_dir() and ".tmp-" not in folder.name and folder.suffix != ".lock":
            mark = _mark(folder)
            try:
                # an entry from an older version has no mark: its creation counts as its last use
                used = (mark if mark.exists() else folder).stat().st_mtime
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            except FileNotFoundError:  # another process is deleting it
                continue
            cached.append(Entry(folder, size, used))
    return sorted(cached, key=lambda entry: entry.used)


def evict(root: Path) -> list[Path]:
    """Delete least recently used entries until the cache is within its limit, if there is one.

    Returns:
        Folders of the deleted entries.
    """
    limit = cache_limit()
    if limit is None:
        return []
    cached = entries(root)
    total, deleted = sum(entry.size for entry in cached), []
    for entry in cached:
        if total > limit and _delete(entry.folder):
            log.debug("cache entry %s (%d bytes) deleted: %s", entry.folder, entry.size, LIMIT)
            total -= entry.size
            deleted.append(entry.folder)
    if total > limit:
        size = f"the cache {root} holds {total / 1e6:,.1f} MB, more than {LIMIT}={os.environ[LIMIT]}"
        log.warning("%s: running processes use the remaining entries", size)
    return deleted


def _delete(folder: Path) -> bool:
    """Delete an entry, unless a process is using or building it; whether it was deleted."""
    claim = Claim(folder.with_name(f"{folder.name}.lock"))
    try:
        claim.acquire(timeout=0)
        handle = os.open(_mark(folder), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            work = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
            folder.rename(work)  # so that a crash leaves no half-deleted entry
            shutil.rmtree(work, ignore_errors=True)
            _mark(folder).unlink(missing_ok=True)
        finally:
            os.close(handle)
    except (HeldError, BlockingIOError, FileNotFoundError):  # being built, in use, already deleted
        return False
    finally:
        claim.release()
    return True


def _mark(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.used")
