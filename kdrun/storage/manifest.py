"""Checksums of a folder's files: seal and verify."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kdrun.storage import json_reader
from kdrun.storage.hashing import file_digest
from kdrun.storage.json_reader import Shape

MANIFEST = "entry.json"
SHAPE: dict[str, Shape] = {"files": {"*": {"bytes": int, "sha256": str}}}


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": file_digest(p)} for p in paths}


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Write a folder's manifest: sizes and checksums of its files, and other facts."""
    manifest = facts | {"files": _files(folder)}
    _write_synced(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))


def verify(folder: Path) -> str | None:
    """The problem with a sealed folder's files; None if they match the manifest."""
    try:
        manifest = json_reader.parse_object((folder / MANIFEST).read_bytes(), SHAPE)
        for name, expected in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != expected["bytes"]:
                return f"{name} has {path.stat().st_size} bytes, expected {expected['bytes']}"
            if file_digest(path) != expected["sha256"]:
                return f"{name} does not match its checksum"
    except (OSError, ValueError) as error:
        return f"its manifest cannot be read ({error})"
    return None


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
