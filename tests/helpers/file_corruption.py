"""What can happen to the files of the cache: flipped bits, cut files, files and entries that are gone.

`tests/test_cache_kinds.py` and `scripts/torture.py` do it to entries of every kind.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from kdrun.storage import cache_eviction, hashing, manifest

CONTENT = (".safetensors", ".npy", ".arrow")
"""Files whose bytes are the same whenever an entry is made; others say how long it took."""
RUNS = {
    "kd": ["method=kd", "task=sst2", "student.pretrain.steps=3"],
    "tinybert_kd": ["method=tinybert_kd", "task=sst2", "method.teacher_states=keep"],
    "kd_ood": ["method=kd_ood", "task=sst2"],
    "meta_kd": ["method=meta_kd", "task=amazon", "method.domain=books"],
    "answers": ["method=kd_ood", "task=conll2003", "teacher=t5_smoke", "student=t5_smoke"],
}
"""Runs that make, between them, entries of every kind."""
SMALL = ["preset=smoke", "corpus.max_lines=300", "optim.steps=4", "teacher.fine_tuning.steps=4"]
SMALL += ["teacher.allow_weak=true", "report=false"]


def flip(folder: Path, draw: random.Random) -> str:
    """Flip one bit of one file."""
    path = _any_file(folder, draw)
    data = bytearray(path.read_bytes())
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return f"bit flipped in byte {place} of {path.name}"


def cut(folder: Path, draw: random.Random) -> str:
    """Cut a file off somewhere."""
    path = _any_file(folder, draw)
    size = draw.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{path.name} cut to {size} bytes"


def lose(folder: Path, draw: random.Random) -> str:
    """Delete a file."""
    path = _any_file(folder, draw)
    path.unlink()
    return f"{path.name} deleted"


def delete(folder: Path, draw: random.Random) -> str:
    """Delete the entry."""
    shutil.rmtree(folder)
    return "deleted"


WAYS: list[Callable[[Path, random.Random], str]] = [flip, cut, lose, delete]


def entries(root: Path) -> list[Path]:
    """The folders of a cache's entries, in an order of their own."""
    return sorted(entry.folder for entry in cache_eviction.entries(root))


def content(folder: Path) -> dict[str, str]:
    """The digests of what an entry is there for; of kinds that hold texts, of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != manifest.MANIFEST)
    chosen = [path for path in files if path.suffix in CONTENT] or files
    return {path.name: hashing.file_digest(path) for path in chosen}


def _any_file(folder: Path, draw: random.Random) -> Path:
    """A file that is not empty; of the manifest, whose time may change unseen, only the rest is of weight."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size and p.name != manifest.MANIFEST)
    return draw.choice(files)
