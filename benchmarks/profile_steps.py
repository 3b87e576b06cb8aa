"""Where a step's time goes: the operations that take most of it, as shares, of kdrun's own steps.

    .venv/bin/python -m benchmarks.profile_steps
    .venv/bin/python -m benchmarks.profile_steps --into docs/results/performance.md

Shares are of the time that the processor spends in operations of torch, each without those that it calls; what Python
takes between them is not in them. Cases, models and rows are those of scripts/bench.py.
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
    """Operations by the share of the time that they take themselves, largest first; one step before warms up."""
    side.run(1)
    with profile(activities=[ProfilerActivity.CPU]) as taken:
        side.run(steps)
    own = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in taken.key_averages()}
    total = sum(own.values())
    return sorted(((name, time / total) for name, time in own.items()), key=lambda pair: -pair[1])


def main() -> None:
    """Profile every step, print the table."""
    parser = argparse.ArgumentParser(description="the operations that take most of a step")
    parser.add_argument("--into", type=Path, help="a document with such a block")
    parser.add_argument("--block", default="profile", help="its name")
    asked = parser.parse_args()
    lines = []
    for name, make in STEPS.items():
        side = make()
        found = shares(side, side.steps)[:MOST]
        lines.append([name, ", ".join(f"`{operation}` {100 * share:.0f} %" for operation, share in found)])
    text = f"{title()}\n\n" + table(["step", "operations"], lines)
    print(text)
    if asked.into:
        put(asked.into, asked.block, text)


if __name__ == "__main__":
    main()
