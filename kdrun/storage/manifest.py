"""Checksums of a folder's files: seal and verify."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kdrun.storage.hashing import file_digest

MANIFEST = "entry.json"


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": file_digest(p)} for p in found}


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write sizes, checksums and other facts of a folder's files to its manifest, for `verify`."""
    manifest = facts | {"files": _files(folder)}
    _write_synced(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))


def verify(folder: Path) -> str | None:
    """The problem with a sealed folder's files; None if they are as written."""
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


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
