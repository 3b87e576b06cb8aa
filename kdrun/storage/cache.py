"""Content-addressed cache for expensive artifacts: built once, verified, safe across processes.

An entry is a folder named by the hash of its *key*. The key is all plain data that decides the content. The folder is
built under a temporary name and renamed into place, so a half-written entry is never read. A claim makes two processes
that need the same entry build it once, also on two machines. Sizes and checksums are verified when an entry is read:
once per process, as long as its files do not change. A damaged entry is built again, with a warning. Any entry may be
deleted at any time. With `KDRUN_CACHE_LIMIT` the least recently used ones are deleted automatically
(`kdrun.storage.cache_eviction`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kdrun import progress, ranks
from kdrun.errors import CacheError, KdrunError, PathError
from kdrun.storage import cache_eviction, json_reader
from kdrun.storage.claims import Claim, HeldError
from kdrun.storage.hashing import digest
from kdrun.storage.manifest import MANIFEST, seal, verify

LOCK_NOTICE_AFTER = 5.0
"""Seconds of waiting for another process before a warning."""
log = logging.getLogger(__name__)
T = TypeVar("T")

_verified: dict[Path, list[tuple[int, ...]]] = {}
"""Entries whose checksums this process has verified, with the state of their files at that time."""


def cache_root() -> Path:
    """The cache folder: `KDRUN_CACHE`, else `~/.cache/kdrun`.

    Raises:
        PathError: `KDRUN_CACHE` is not set, and the user has no home folder.
    """
    configured = os.environ.get("KDRUN_CACHE")
    if configured:
        return Path(configured)
    try:
        return Path.home() / ".cache" / "kdrun"
    except RuntimeError:  # no HOME, and no entry for this user in the system
        raise PathError(
            "the cache has no folder, because this user has no home folder; set KDRUN_CACHE to a folder"
        ) from None


def fetch(
    namespace: str,
    key: dict[str, Any],
    build: Callable[[Path], None],
    read: Callable[[Path], T],
    *,
    together: bool = False,
) -> tuple[T, bool]:
    """Read an entry; build it first if it does not exist.

    Of several processes of one run, the first one holds the claim and builds, and every one reads.

    Args:
        namespace: a short name of the type of entry, e.g. `tokens`; part of the path.
        key: everything that decides the content, as plain data; written next to the content.
        build: writes the content into an empty folder; called at most once. If it raises, no entry is created.
        read: reads the content from the entry's folder. The folder may be deleted afterwards; open memory maps stay
            readable.
        together: whether `build` shares its work with the other processes of the run, so that all must call it; only
            the folder of the first one is kept.

    Returns:
        The value of `read`, and whether the entry already existed.

    Raises:
        CacheError: another process deleted the entry while it was built.
        PathError: the cache folder is not writable.
    """
    if ranks.size() > 1:
        folder, existed = _of_all_processes(namespace, key, build, together)
        return read(folder), existed
    while True:
        folder, existed = _find_or_build(namespace, key, build)
        try:
            return read(folder), existed
        except Exception as error:
            if verify(folder) is None:
                raise
            if not existed:  # never built twice: `build` may train a model in place
                raise CacheError(_deleted_message(folder)) from error
            log.warning("cache entry %s was deleted or damaged while it was read; building it again", folder)


def contains(namespace: str, key: dict[str, Any]) -> bool:
    """Whether an entry exists; its content is not verified."""
    return (cache_root() / namespace / digest(key)[:24] / MANIFEST).is_file()


def _of_all_processes(
    namespace: str, key: dict[str, Any], build: Callable[[Path], None], together: bool
) -> tuple[Path, bool]:
    """The folder of an entry that the first process finds or builds, alone or together with the others."""
    if not together:
        return ranks.by_first(lambda: _find_or_build(namespace, key, build))
    is_announced = False

    def announce_and_build(folder: Path) -> None:
        nonlocal is_announced
        is_announced = ranks.from_first(True)
        build(folder)

    if ranks.is_first():
        found = _find_or_build(namespace, key, announce_and_build)
        if not is_announced:
            ranks.from_first(False)
        return ranks.from_first(found)
    if ranks.from_first(False):
        with tempfile.TemporaryDirectory(prefix="kdrun-") as scratch:
            build(Path(scratch))
    return ranks.from_first((Path(), False))


def _find_or_build(namespace: str, key: dict[str, Any], build: Callable[[Path], None]) -> tuple[Path, bool]:
    """The folder of a valid entry, marked as used, and whether the entry already existed."""
    folder = cache_root() / namespace / digest(key)[:24]
    make_writable(folder.parent)
    with _locked(folder):
        if folder.exists():
            problem = _new_problem(folder, key)
            if problem is None:
                cache_eviction.mark_used(folder)
                log.debug("cache entry %s is used", folder)
                return folder, True
            log.warning("cache entry %s is damaged: %s; building it again", folder, problem)
            shutil.rmtree(folder, ignore_errors=True)
        for leftover in folder.parent.glob(f"{folder.name}.tmp-*"):  # from crashed processes: this one has the claim
            shutil.rmtree(leftover, ignore_errors=True)
        work = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
        work.mkdir()
        handle = os.open(work, os.O_RDONLY)  # while it is open, no other folder gets its inode number
        try:
            build(work)
            seal(work, {"kind": namespace, "key": key, "created": time.time()})
            if not _is_same_folder(work, handle):  # deleted during `build`, and created again by a later write
                raise FileNotFoundError(work)
            work.rename(folder)
        except KdrunError:
            raise
        except Exception as error:  # `tokenizers` raises plain exceptions where a folder is missing
            if _is_same_folder(work, handle):
                raise
            raise CacheError(_deleted_message(folder)) from error
        finally:
            os.close(handle)
            shutil.rmtree(work, ignore_errors=True)
        try:
            cache_eviction.mark_used(folder)
        except FileNotFoundError as error:  # the whole cache was deleted
            raise CacheError(_deleted_message(folder)) from error
        log.debug("cache entry %s is new", folder)
    cache_eviction.evict(cache_root())
    return folder, False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the claim of an entry. A long wait is logged, because the other process may be training a teacher."""
    claim = Claim(folder.with_name(f"{folder.name}.lock"))
    try:
        try:
            claim.acquire(timeout=LOCK_NOTICE_AFTER)
        except HeldError:
            log.warning("another process is building the cache entry %s; waiting for it", folder)
            with progress.track("waiting for the cache entry"):
                claim.acquire()
        yield
    finally:
        claim.release()


def make_writable(folder: Path) -> None:
    """Create a folder of the cache.

    Raises:
        PathError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PathError(
            f"{error.strerror}: the cache {cache_root()} cannot be used; set KDRUN_CACHE to a writable folder with "
            "free space"
        ) from None


def _is_same_folder(folder: Path, handle: int) -> bool:
    return folder.exists() and os.path.samestat(os.stat(folder), os.fstat(handle))


def _deleted_message(folder: Path) -> str:
    return f"the cache entry {folder} was deleted while it was built; run the same command again"


def _new_problem(folder: Path, key: dict[str, Any]) -> str | None:
    """The problem with an entry; None if it is valid. Files unchanged since they were verified are not read again."""
    try:
        states = _file_states(folder)
    except FileNotFoundError as error:
        return f"another process is deleting it ({error})"
    if _verified.get(folder) == states:
        return None
    problem = verify(folder)
    if problem is None and json_reader.parse((folder / MANIFEST).read_bytes()).get("key") != json.loads(
        json.dumps(key)
    ):
        problem = "its manifest has another key"
    if problem is None:
        _verified[folder] = states
    return problem


def _file_states(folder: Path) -> list[tuple[int, ...]]:
    """Inode number, size and modification time (nanoseconds) of each file."""
    stats = [path.stat() for path in sorted(folder.rglob("*"))]
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]
