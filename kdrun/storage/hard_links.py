"""Store equal files of a folder once, as hard links."""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from kdrun.storage.hashing import file_digest


def link_equal_files(folder: Path, pattern: str = "*.safetensors") -> int:
    """Replace equal files below a folder by hard links to one of them.

    Each file is replaced by a rename, so at every moment it is there and whole. Writers that write a new file and
    rename it, as those of models and checkpoints do, do not change the other links. Where the file system has no hard
    links, the copies stay.

    Args:
        folder: searched with its subfolders; symbolic links are left alone.
        pattern: names of the files.

    Returns:
        The number of bytes that are no longer stored.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob(pattern)):
        if path.is_file() and not path.is_symlink():
            by_size[path.stat().st_size].append(path)
    saved = 0
    for size, paths in by_size.items():
        first_of: dict[str, Path] = {}
        for path in paths if len(paths) > 1 else ():
            first = first_of.setdefault(file_digest(path), path)
            if not first.samefile(path) and _link(first, path, folder):
                saved += size
    return saved


def _link(source: Path, path: Path, folder: Path) -> bool:
    """Replace a file by a hard link to an equal one, made in a folder first; return whether the file system could."""
    work = folder / f".{path.name}.tmp-{secrets.token_hex(8)}"
    try:
        os.link(source, work)
        work.replace(path)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            work.unlink()
    return True
