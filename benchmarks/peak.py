"""Measure the peak memory of a run: the resident set of its process, including mapped files.

    .venv/bin/python -m benchmarks.peak method=kd task=sst2 preset=mini data.dir=FOLDER teacher.path=FOLDER
    .venv/bin/python -m benchmarks.peak --into docs/results/performance.md method=kd task=sst2

The run uses the cache: without a cached teacher, training the teacher is part of the measurement.
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
"""Runs a command in a separate process, since the usage of ended children is the maximum over all of them."""


def peak_of(overrides: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Return the peak memory (MiB) of `kdrun OVERRIDES`.

    Raises:
        SystemExit: the run failed.
    """
    command = [sys.executable, "-c", CHILD, sys.executable, "-m", "kdrun", *overrides]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    if finished.returncode:
        raise SystemExit(f"the run failed: {finished.stderr}")
    unit = 1 if sys.platform == "darwin" else 1024
    return int(finished.stdout) * unit / 2**20


def main() -> None:
    """Measure one run and print its row."""
    parser = argparse.ArgumentParser(description="peak memory of a run")
    parser.add_argument("overrides", nargs="+", help="arguments of kdrun")
    parser.add_argument("--into", type=Path, help="a document with a block named peak")
    args = parser.parse_args()
    settings = [override.partition("=") for override in args.overrides if not override.startswith("run_dir=")]
    settings_text = " ".join(f"{key}={Path(value).name}" for key, _, value in settings)
    text = table(["run", "peak, MiB"], [[f"`{settings_text}`", f"{peak_of(args.overrides):.0f}"]])
    print(text)
    if args.into:
        put(args.into, "peak", text)


if __name__ == "__main__":
    main()
