"""A content-addressed store for what is dear to make: tokenised data, fine-tuned teachers, teacher logits.

An entry is a folder named by the hash of a *key*: everything that decides its content, as plain data. It is
built in a temporary folder and renamed into place, so a half-written entry is never read; two processes that
want the same entry build it once (file lock); file sizes and checksums are verified when it is read, and an
entry that fails is built again, loudly. Delete any of it at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from kdrun.errors import PlaceError

MANIFEST = "entry.json"
log = logging.getLogger(__name__)


def cache_root() -> Path:
    """The cache folder: `KDRUN_CACHE`, else `~/.cache/kdrun`.

    Raises:
        PlaceError: neither is known.
    """
    named = os.environ.get("KDRUN_CACHE")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "kdrun"
    except RuntimeError:  # no HOME, and a user whom the system does not know
        raise PlaceError("there is no home folder for the cache; set KDRUN_CACHE to a folder of yours") from None


def digest(value: Any) -> str:
    """A hash of plain data (dicts, lists, strings, numbers) that is the same on every machine, 64 hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": file_digest(p)} for p in found}


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write sizes and checksums of a folder's files into its manifest, beside some facts; `damage` compares them."""
    manifest = facts | {"files": _files(folder)}
    _write_synced(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))


def damage(folder: Path) -> str | None:
    """What is wrong with the files of a sealed folder, or None when they are what was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, wanted in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != wanted["bytes"]:
                return f"{name} has {path.stat().st_size} bytes, {wanted['bytes']} were written"
            if file_digest(path) != wanted["sha256"]:
                return f"{name} does not have the checksum it was written with"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({error})"
    return None


def fetch(kind: str, key: dict[str, Any], build: Callable[[Path], None]) -> tuple[Path, bool]:
    """The folder of an entry, built first if it is not there.

    Args:
        kind: a short word for the kind of entry, e.g. `tokens`; part of the path.
        key: everything that decides the content, as plain data; written beside the content.
        build: writes the content into the empty folder it is given. If it raises, nothing is kept.

    Returns:
        The entry's folder, and whether it was there already.
    """
    folder = cache_root() / kind / digest(key)[:24]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            wrong = damage(folder)
            if wrong is None:
                return folder, True
            log.warning("cache entry %s is damaged: %s; building it again", folder, wrong)
            shutil.rmtree(folder)
        for left in folder.parent.glob(f"{folder.name}.tmp-*"):  # of processes that died: the lock is ours
            shutil.rmtree(left, ignore_errors=True)
        work = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
        work.mkdir()
        try:
            build(work)
            seal(work, {"kind": kind, "key": key, "created": time.time()})
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder, False


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
