"""Cache results that depend only on source files."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable
from pathlib import Path

from kdrun import ranks
from kdrun.storage import cache
from kdrun.storage.hashing import digest

NAMESPACE = "source_results"
FILE = "result.txt"


def cached_result(name: str, sources: Iterable[Path], compute: Callable[[], str]) -> str:
    """A text that is computed once per state of its sources.

    Every process computes it alone, also in a run of several.

    Args:
        name: name of the result, with all values besides the sources that determine it.
        sources: every file that determines the result, the code that computes it included.
        compute: computes the text.

    Raises:
        PathError: the cache folder is not writable.
    """
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    key = {"format": 1, "name": name, "sources": digest(contents), "python": platform.python_version()}

    def build(folder: Path) -> None:
        (folder / FILE).write_text(compute(), encoding="utf-8")

    with ranks.alone():
        return cache.fetch(NAMESPACE, key, build, lambda folder: (folder / FILE).read_text("utf-8"))[0]
