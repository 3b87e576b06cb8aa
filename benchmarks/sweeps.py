"""Compare the wall time of a sweep of eight runs with eight single commands.

    .venv/bin/python -m benchmarks.sweeps
    .venv/bin/python -m benchmarks.sweeps --into docs/results/performance.md

Sweeps run in one process, and in two processes with joblib. Each variant starts with an empty cache, so each trains the
teacher once. Rounds measure the variants in turn; the ratio is the median of (eight commands ÷ variant).
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
VARIANTS = {
    "eight commands": [[f"seed={seed}"] for seed in SEEDS],
    "kdrun -m": [["-m", f"seed={','.join(map(str, SEEDS))}"]],
    "kdrun -m, joblib with two processes": [["-m", f"seed={','.join(map(str, SEEDS))}", *JOBLIB]],
}


def seconds(commands: list[list[str]]) -> float:
    """Return the wall time of the commands, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "KDRUN_CACHE": f"{folder}/cache"}
        started = time.monotonic()
        for overrides in commands:
            command = [sys.executable, "-m", "kdrun", *overrides, *RUN, f"output_dir={folder}/outputs"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
        return time.monotonic() - started


def main() -> None:
    """Measure the variants in turn and print one table."""
    parser = argparse.ArgumentParser(description="wall time of a sweep compared with single commands")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", type=Path, help="a document with a block named sweeps")
    args = parser.parse_args()
    seconds_by_variant: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _, (name, commands) in itertools.product(range(args.rounds), VARIANTS.items()):
        seconds_by_variant[name].append(seconds(commands))
    baseline, rows = seconds_by_variant["eight commands"], []
    for name, times in seconds_by_variant.items():
        ratios = [baseline_time / variant_time for baseline_time, variant_time in zip(baseline, times, strict=True)]
        rows.append([name, f"{statistics.median(ratios):.2f}x", f"{min(ratios):.2f} … {max(ratios):.2f}"])
    text = f"{title()}, {args.rounds} rounds\n\n" + table(["variant", "faster by", "min … max"], rows[1:])
    print(text)
    if args.into:
        put(args.into, "sweeps", text)


if __name__ == "__main__":
    main()
