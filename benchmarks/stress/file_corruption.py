"""Corrupt entries of the cache: flip bits, truncate files, delete files and entries."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from kdrun.storage import cache_eviction, hashing, manifest

CONTENT = (".safetensors", ".npy", ".arrow")
"""Files that have the same bytes whenever an entry is built; other files record how long the build took."""
RUNS = {
    "kd": ["method=kd", "task=sst2", "student.pretrain.steps=3"],
    "tinybert_kd": ["method=tinybert_kd", "task=sst2", "method.teacher_states=keep"],
    "kd_ood": ["method=kd_ood", "task=sst2"],
    "meta_kd": ["method=meta_kd", "task=amazon", "method.domain=books"],
    "answers": ["method=kd_ood", "task=conll2003", "teacher=t5_smoke", "student=t5_smoke", "teacher.top_k=8"],
}
"""Runs that together build entries of every namespace."""
SMALL = ["preset=smoke", "corpus.max_lines=300", "optim.steps=4", "teacher.finetune_optim.steps=4"]
SMALL += ["teacher.allow_weak=true", "report=false"]


def flip_bit(folder: Path, draw: random.Random) -> str:
    """Flip one bit of one file."""
    path = _any_file(folder, draw)
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return f"bit flipped in byte {place} of {path.name}"


def truncate(folder: Path, draw: random.Random) -> str:
    """Cut one file to a random size."""
    path = _any_file(folder, draw)
    size = draw.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{path.name} cut to {size} bytes"


def delete_file(folder: Path, draw: random.Random) -> str:
    """Delete one file."""
    path = _any_file(folder, draw)
    path.unlink()
    return f"{path.name} deleted"


def delete_entry(folder: Path, draw: random.Random) -> str:
    """Delete the whole entry."""
    shutil.rmtree(folder)
    return "deleted"


CORRUPTIONS: list[Callable[[Path, random.Random], str]] = [flip_bit, truncate, delete_file, delete_entry]


def entry_folders(root: Path) -> list[Path]:
    """Return the folders of a cache's entries, sorted."""
    return sorted(entry.folder for entry in cache_eviction.entries(root))


def content_digests(folder: Path) -> dict[str, str]:
    """Return the digests of an entry's `CONTENT` files; of every file where it has none of these."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != manifest.MANIFEST)
    content = [path for path in files if path.suffix in CONTENT] or files
    return {path.name: hashing.file_digest(path) for path in content}


def _any_file(folder: Path, draw: random.Random) -> Path:
    """Choose a non-empty file other than the manifest: a changed time in the manifest has no effect."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size and p.name != manifest.MANIFEST)
    return draw.choice(files)
