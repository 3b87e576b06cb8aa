"""Content-addressed cache for expensive artifacts: built once, verified, safe across processes.

An entry is a folder named by the hash of a *key*: everything that decides its content, as plain data. It is
built in a temporary folder and renamed into place, so a half-written entry is never read; two processes that
want the same entry build it once (file lock). Sizes and checksums are verified when it is read, once a process
for files that did not change since, and an entry that fails is built again, loudly. Any entry can be deleted at any
time; with `KDRUN_CACHE_LIMIT` the least recently used ones are deleted automatically (`kdrun.storage.cache_eviction`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from kdrun.errors import CacheError, PathError
from kdrun.storage import cache_eviction
from kdrun.storage.hashing import digest
from kdrun.storage.manifest import MANIFEST, seal, verify

LOCK_NOTICE_AFTER = 5.0
"""Seconds of waiting for another process that nobody is told of."""
log = logging.getLogger(__name__)
T = TypeVar("T")

_verified: dict[Path, list[tuple[int, ...]]] = {}
"""Entries whose bytes this process has compared with their checksums, and the state of their files then."""


def cache_root() -> Path:
    """The cache folder: `KDRUN_CACHE`, else `~/.cache/kdrun`.

    Raises:
        PathError: neither is known.
    """
    named = os.environ.get("KDRUN_CACHE")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "kdrun"
    except RuntimeError:  # no HOME, and a user whom the system does not know
        raise PathError("there is no home folder for the cache; set KDRUN_CACHE to a folder of yours") from None


def fetch(
    namespace: str, key: dict[str, Any], build: Callable[[Path], None], read: Callable[[Path], T]
) -> tuple[T, bool]:
    """Read an entry, and build it first if it does not exist.

    Args:
        namespace: a short name of the type of entry, e.g. `tokens`; part of the path.
        key: everything that decides the content, as plain data; written beside the content.
        build: writes the content into the empty folder it is given, once at most. If it raises, nothing is kept.
        read: reads the entry's folder, which may be deleted afterwards; open memory maps stay readable.

    Returns:
        The value of `read`, and whether the entry existed.

    Raises:
        CacheError: another process removed the entry while it was built.
        PathError: the cache folder is not writable.
    """
    while True:
        folder, was_there = _entry(namespace, key, build)
        try:
            return read(folder), was_there
        except Exception as error:
            if verify(folder) is None:
                raise
            if not was_there:  # building is not done twice: it may train a model in place
                raise CacheError(_removed(folder)) from error
            log.warning("cache entry %s was removed or damaged while it was read; making it again", folder)


def _entry(namespace: str, key: dict[str, Any], build: Callable[[Path], None]) -> tuple[Path, bool]:
    """The folder of an entry, whole and in use, and whether it was there already."""
    folder = cache_root() / namespace / digest(key)[:24]
    _make_writable(folder.parent)
    with _locked(folder):
        if folder.exists():
            wrong = _damage_since(folder, key)
            if wrong is None:
                cache_eviction.mark_used(folder)
                return folder, True
            log.warning("cache entry %s is damaged: %s; building it again", folder, wrong)
            shutil.rmtree(folder, ignore_errors=True)
        for left in folder.parent.glob(f"{folder.name}.tmp-*"):  # of processes that died: the lock is ours
            shutil.rmtree(left, ignore_errors=True)
        work = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
        work.mkdir()
        handle = os.open(work, os.O_RDONLY)  # while it is open, no other folder gets its number
        try:
            build(work)
            seal(work, {"kind": namespace, "key": key, "created": time.time()})
            if not _is(work, handle):  # what was written last made it anew, and the rest is missing
                raise FileNotFoundError(work)
            work.rename(folder)
        except FileNotFoundError as error:
            if _is(work, handle):
                raise
            raise CacheError(_removed(folder)) from error
        finally:
            os.close(handle)
            shutil.rmtree(work, ignore_errors=True)
        cache_eviction.mark_used(folder)
    cache_eviction.evict(cache_root())
    return folder, False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have an entry to oneself; waiting for another process, which may train a teacher, is said."""
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=LOCK_NOTICE_AFTER)
    except Timeout:
        log.warning("another process makes the cache entry %s; waiting for it", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PathError(
            f"{error.strerror}: the cache {cache_root()} cannot be used; set KDRUN_CACHE to a folder that can be "
            "written to and has room"
        ) from None


def _is(folder: Path, handle: int) -> bool:
    return folder.exists() and os.path.samestat(os.stat(folder), os.fstat(handle))


def _removed(folder: Path) -> str:
    return f"the cache entry {folder} was removed while it was made; the same command makes it again"


def _damage_since(folder: Path, key: dict[str, Any]) -> str | None:
    """Like `damage`, of an entry; files that this process found whole and that did not change are not read again."""
    try:
        states = _states(folder)
    except FileNotFoundError as error:
        return f"somebody removes it ({error})"
    if _verified.get(folder) == states:
        return None
    wrong = verify(folder)
    if wrong is None and json.loads((folder / MANIFEST).read_text())["key"] != json.loads(json.dumps(key)):
        wrong = "its manifest is of another key"
    if wrong is None:
        _verified[folder] = states
    return wrong


def _states(folder: Path) -> list[tuple[int, ...]]:
    """Of each file: which it is, its size, and when it was written, in nanoseconds."""
    stats = [path.stat() for path in sorted(folder.rglob("*"))]
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in stats]
