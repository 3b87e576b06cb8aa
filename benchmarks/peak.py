"""Peak memory of a run of kdrun: the resident set of its process, pages of mapped files included.

    .venv/bin/python -m benchmarks.peak method=kd task=sst2 preset=mini data.dir=FOLDER teacher.path=FOLDER
    .venv/bin/python -m benchmarks.peak --into docs/results/performance.md method=kd task=sst2

What is in the cache is taken from it: where the teacher is not, its training is part of the run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.blocks import put, table

CHILD = (
    "import resource, subprocess, sys; "
    "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
)
"""Runs a command in a process of its own, for what is known of ended children is the largest of all."""


def peak_of(words: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Peak memory (MiB) of `kdrun WORDS`.

    Raises:
        SystemExit: the run failed.
    """
    command = [sys.executable, "-c", CHILD, sys.executable, "-m", "kdrun", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    if found.returncode:
        raise SystemExit(f"the run failed: {found.stderr}")
    unit = 1 if sys.platform == "darwin" else 1024
    return int(found.stdout) * unit / 2**20


def main() -> None:
    """Measure one run, print its row."""
    parser = argparse.ArgumentParser(description="peak memory of a run")
    parser.add_argument("words", nargs="+", help="of kdrun's command line")
    parser.add_argument("--into", type=Path, help="a document with a block named peak")
    asked = parser.parse_args()
    settings = [word.partition("=") for word in asked.words if not word.startswith("run_dir=")]
    shown = " ".join(f"{key}={Path(value).name}" for key, _, value in settings)
    text = table(["run", "peak, MiB"], [[f"`{shown}`", f"{peak_of(asked.words):.0f}"]])
    print(text)
    if asked.into:
        put(asked.into, "peak", text)


if __name__ == "__main__":
    main()
