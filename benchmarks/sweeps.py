"""Wall time of a sweep of eight runs beside eight single commands: in one process, and in two by joblib.

    .venv/bin/python -m benchmarks.sweeps
    .venv/bin/python -m benchmarks.sweeps --into docs/results/performance.md

Each way starts with a cache of its own that is empty, so the teacher is trained once in each, by the first run that
wants it. Rounds go through the ways in turn; the ratio is the median of eight commands ÷ the way.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.blocks import put, table
from benchmarks.machine import title

RUN = (
    "method=kd",
    "task=sst2",
    "report=false",
    "teacher.finetune_optim.steps=200",
    "optim.steps=200",
    "teacher.allow_weak=true",
)
SEEDS = range(1, 9)
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
WAYS = {
    "eight commands": [[f"seed={seed}"] for seed in SEEDS],
    "kdrun -m": [["-m", f"seed={','.join(map(str, SEEDS))}"]],
    "kdrun -m, joblib with two processes": [["-m", f"seed={','.join(map(str, SEEDS))}", *JOBLIB]],
}


def seconds(commands: list[list[str]]) -> float:
    """Wall time of the commands, one after another."""
    with tempfile.TemporaryDirectory() as place:
        env = {**os.environ, "KDRUN_CACHE": f"{place}/cache"}
        started = time.monotonic()
        for words in commands:
            whole = [sys.executable, "-m", "kdrun", *words, *RUN, f"output_dir={place}/outputs"]
            subprocess.run(whole, check=True, stdout=subprocess.DEVNULL, env=env)
        return time.monotonic() - started


def main() -> None:
    """Measure the ways in turn, print one table."""
    parser = argparse.ArgumentParser(description="wall time of a sweep beside single commands")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", type=Path, help="a document with a block named sweeps")
    asked = parser.parse_args()
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    for _, (name, commands) in itertools.product(range(asked.rounds), WAYS.items()):
        took[name].append(seconds(commands))
    base, rows = took["eight commands"], []
    for name, times in took.items():
        ratios = [one / own for one, own in zip(base, times, strict=True)]
        rows.append([name, f"{statistics.median(ratios):.2f}x", f"{min(ratios):.2f} … {max(ratios):.2f}"])
    text = f"{title()}, {asked.rounds} rounds\n\n" + table(["way", "faster by", "least … most"], rows[1:])
    print(text)
    if asked.into:
        put(asked.into, "sweeps", text)


if __name__ == "__main__":
    main()
