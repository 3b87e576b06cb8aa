"""Measure where the processor time of whole runs goes, by the stages that a run records.

    .venv/bin/python -m benchmarks.budget
    .venv/bin/python -m benchmarks.budget --into docs/results/performance.md
    .venv/bin/python -m benchmarks.budget --kdrun FOLDER  # another checkout, in turns with this one

A command's last stages, its report and its end, are the difference to its time in all. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.blocks import put, table
from benchmarks.machine import title

ROOT = Path(__file__).resolve().parents[1]
RUNS = {
    "preset=smoke, empty cache": ["method=kd", "preset=smoke"],
    "preset=smoke, warm cache": ["method=kd", "preset=smoke"],
    "method=kd, empty cache": ["method=kd", "student_alone=false"],
    "method=kd, warm cache": ["method=kd", "student_alone=false"],
}
"""Commands in order; a warm cache is that of the command before."""
REST, ALL, WALL, PEAK = "the rest (report, end)", "in all", "wall time", "peak, MiB"


def execute(overrides: list[str], checkout: Path, folder: Path) -> dict[str, float]:
    """Run a command of a checkout, and return seconds by stage, in all and on the wall, and the peak in MiB."""
    env = {**os.environ, "PYTHONPATH": str(checkout), "KDRUN_CACHE": str(folder / "cache")}
    run_dir = folder / f"run-{time.time_ns()}"
    command = [sys.executable, "-m", "kdrun", *overrides, f"run_dir={run_dir}", f"output_dir={folder}"]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    total = usage.ru_utime + usage.ru_stime
    stages = json.loads((run_dir / "result.json").read_text()).get("stages", {})
    seconds = {name: stage["cpu_s"] for name, stage in stages.items()}
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        **seconds,
        REST: total - sum(seconds.values()),
        ALL: total,
        WALL: wall,
        PEAK: usage.ru_maxrss * unit / 2**20,
    }


def measure(checkout: Path) -> dict[str, dict[str, float]]:
    """One round of all commands."""
    seconds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, overrides in RUNS.items():
            place = Path(folder, name.partition(",")[0].replace("=", "-"))
            place.mkdir(exist_ok=True)
            seconds[name] = execute(overrides, checkout, place)
            print(f"{checkout.name}: {name}: {seconds[name][ALL]:.1f} s CPU, {seconds[name][WALL]:.1f} s", flush=True)
    return seconds


def as_table(rounds: list[dict[str, dict[str, float]]]) -> str:
    """Median seconds by stage and run, as shares of the run's processor time."""
    stages = list(dict.fromkeys(stage for one in rounds for seconds in one.values() for stage in seconds))
    stages = [stage for stage in stages if stage not in (REST, ALL, WALL, PEAK)] + [REST, ALL, WALL, PEAK]
    median = {
        (name, stage): statistics.median(one[name].get(stage, 0.0) for one in rounds)
        for name in RUNS
        for stage in stages
    }
    rows = []
    for stage in stages:
        cells = []
        for name in RUNS:
            value = median[name, stage]
            if stage in (ALL, WALL):
                cells.append(f"{value:.1f} s")
            else:
                cells.append(f"{value:.0f}" if stage == PEAK else f"{100 * value / median[name, ALL]:.0f} %")
        rows.append([stage, *cells])
    return table(["processor time", *RUNS], rows)


def main() -> None:
    """Measure all commands and print the table."""
    parser = argparse.ArgumentParser(description="processor time of whole runs by stage")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kdrun", type=Path, help="folder of another checkout: print the ratio of its times to these")
    parser.add_argument("--into", type=Path, help="a document with a block named budget")
    args = parser.parse_args()
    ours, others = [], []
    for _ in range(args.rounds):
        ours.append(measure(ROOT))
        if args.kdrun is not None:
            others.append(measure(args.kdrun.resolve()))
    text = f"{title()}, {args.rounds} rounds\n\n{as_table(ours)}"
    for name in RUNS if others else ():
        ratios = [ours_[name][ALL] / other[name][ALL] for ours_, other in zip(ours, others, strict=True)]
        low, high = min(ratios), max(ratios)
        text += f"\n{name}: {statistics.median(ratios):.2f} of the processor time of the other ({low:.2f} … {high:.2f})"
    print(text)
    if args.into:
        put(args.into, "budget", text)


if __name__ == "__main__":
    main()
