"""Profile kdrun's steps: the operations with the largest shares of the time.

    .venv/bin/python -m benchmarks.profile_steps
    .venv/bin/python -m benchmarks.profile_steps --into docs/results/performance.md

Shares refer to the processor time in operations of torch, each without the operations that it calls. Time of Python
between operations is not included. Cases, models and rows are those of scripts/bench.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from benchmarks.blocks import put, table
from benchmarks.cases.adversarial import ours as adversarial
from benchmarks.cases.base import Side
from benchmarks.cases.passes import encoder_step
from benchmarks.cases.plain import ours as plain
from benchmarks.cases.writing import ours as writing
from benchmarks.machine import title

MOST = 6
STEPS = {
    "kd step": lambda: plain("kd"),
    "kd step of the encoder": encoder_step,
    "zskd student turn": lambda: adversarial("zskd", "student"),
    "zskd generator turn": lambda: adversarial("zskd", "generator"),
    "dfkd_t3 generator turn, infill": lambda: writing("dfkd_t3", "generator"),
}


def shares(side: Side, steps: int) -> list[tuple[str, float]]:
    """Return operations by their share of the time, largest first, after one warm-up step."""
    side.run(1)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        side.run(steps)
    self_times = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in profiler.key_averages()}
    total = sum(self_times.values())
    return sorted(((name, time / total) for name, time in self_times.items()), key=lambda pair: -pair[1])


def main() -> None:
    """Profile every step and print the table."""
    parser = argparse.ArgumentParser(description="the operations with the largest shares of a step")
    parser.add_argument("--into", type=Path, help="a document with a block of this name")
    parser.add_argument("--block", default="profile", help="name of the block")
    args = parser.parse_args()
    rows = []
    for name, make in STEPS.items():
        side = make()
        largest = shares(side, side.steps)[:MOST]
        rows.append([name, ", ".join(f"`{operation}` {100 * share:.0f} %" for operation, share in largest)])
    text = f"{title()}\n\n" + table(["step", "operations"], rows)
    print(text)
    if args.into:
        put(args.into, args.block, text)


if __name__ == "__main__":
    main()
