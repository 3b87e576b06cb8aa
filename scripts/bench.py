"""How fast kdrun is, as ratios: each case beside a named reference, both measured in this one run.

    .venv/bin/python scripts/bench.py                 every case
    .venv/bin/python scripts/bench.py --only mate_kd  those whose name holds a word
    .venv/bin/python scripts/bench.py --json FILE     the figures too
    .venv/bin/python scripts/bench.py --into docs/results/performance.md
                                                      update the table of the page (with --only: their rows)
    .venv/bin/python scripts/bench.py --device cuda --precision bf16 --scale roberta
                                                      RoBERTa-large teaches DistilRoBERTa, on a GPU

Rounds alternate between the two sides, so that both meet the same noise; the ratio is the median over rounds of
reference ÷ kdrun: below 1 where kdrun takes longer, as a method whose step does more than plain kd's does. Peak memory
is that of one process a side, less what it held before its first step.
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
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.blocks import block, put, replaced, table
from benchmarks.cases import CASES
from benchmarks.cases.base import SCALE, Case, scale_to
from benchmarks.machine import machine, title


@dataclass
class Figure:
    """What a case came to: medians over rounds, the least and largest ratio, and extra peak memory in MiB."""

    case: str
    reference: str
    ratio: float
    low: float
    high: float
    kdrun_ms: float
    reference_ms: float
    kdrun_mib: float
    reference_mib: float
    target: str = ""


def measure(case: Case, rounds: int) -> Figure:
    """Alternate between the sides; the first round warms up and is not counted."""
    sides = {side: case.make(side) for side in ("kdrun", "reference")}
    took: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            side.run(side.steps)
            finish()
            took[name].append(1000 * (time.perf_counter() - started) / side.steps)
    ours, theirs = took["kdrun"][1:], took["reference"][1:]
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    memory = {side: peak_of(case.name, side) for side in sides}
    return Figure(
        case.name,
        case.reference,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(ours),
        statistics.median(theirs),
        memory["kdrun"],
        memory["reference"],
        case.target,
    )


def finish() -> None:
    """Wait for what a GPU has still to do."""
    if SCALE.device == "cuda":
        torch.cuda.synchronize()


def peak_of(name: str, side: str) -> float:
    """Extra peak memory of a few steps in a process of their own, in MiB."""
    words = [sys.executable, __file__, *scale_words(), "--peak", name, side]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])


def peak(name: str, side: str) -> None:
    """Print the extra peak memory of this process, in MiB; for `peak_of`."""
    made = next(case for case in CASES if case.name == name).make(side)
    if SCALE.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        made.run(made.steps)
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building the models (Linux, proc(5))
    before = status("VmRSS")
    made.run(made.steps)
    print((status("VmHWM") - before) / 1024)


def status(name: str) -> int:
    """A line of this process's status, in KiB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if name in line)


def scale_words() -> list[str]:
    """The options that make another process measure at the same scale."""
    return ["--device", SCALE.device, "--precision", SCALE.precision, "--scale", SCALE.name]


def main() -> None:
    """Measure the chosen cases and print one table."""
    parser = argparse.ArgumentParser(description="kdrun's speed as ratios to named references")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--scale", choices=("small", "roberta"), default="small", help="roberta: large, distilled")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--into", type=Path, help="a document with a block named bench")
    parser.add_argument("--peak", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    SCALE.device, SCALE.precision = asked.device, asked.precision
    scale_to(asked.scale)
    if asked.peak:
        peak(*asked.peak)
        return
    with tempfile.TemporaryDirectory() as folder:  # cases that fill a cache fill one of their own
        os.environ["KDRUN_CACHE"] = folder
        figures = [measure(case, asked.rounds) for case in CASES if asked.only in case.name]
    show(figures)
    if asked.into:
        put(asked.into, "bench", markdown(figures, asked.rounds, asked.into if asked.only else None))
    if asked.json:
        found = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


COLUMNS = ["case", "reference", "ratio", "least … most", "wanted", "ms", "ref. ms", "less memory", "MiB", "ref. MiB"]


def cells(f: Figure) -> list[str]:
    """A figure as `COLUMNS` has it."""
    return [
        f.case, f.reference, f"{f.ratio:.2g}x", f"{f.low:.2g} … {f.high:.2g}", f.target, f"{f.kdrun_ms:.0f}",
        f"{f.reference_ms:.0f}", f"{f.reference_mib / max(f.kdrun_mib, 1):.1f}x", f"{f.kdrun_mib:.0f}",
        f"{f.reference_mib:.0f}",
    ]  # fmt: skip


def show(figures: list[Figure]) -> None:
    """Print the table."""
    shown = Table(*COLUMNS, title=title())
    for figure in figures:
        shown.add_row(*cells(figure))
    Console(width=140).print(shown)


def markdown(figures: list[Figure], rounds: int, document: Path | None = None) -> str:
    """The table for a document, without times: those are of one machine.

    Where only some cases were measured, they take the places of theirs in the document's table.

    Raises:
        SystemExit: that table is of another machine, or of other versions.
    """
    kept = [i for i, name in enumerate(COLUMNS) if "ms" not in name and "MiB" not in name]
    rows = [[cells(figure)[i] for i in kept] for figure in figures]
    heading = f"{title()}, {rounds} rounds"
    if document is not None:
        before = block(document, "bench")
        if before.partition("\n")[0] != heading:
            raise SystemExit(f"the table in {document} is not of {heading}; measure all cases, without --only")
        rows = replaced(before, rows)
    return f"{heading}\n\n" + table([COLUMNS[i] for i in kept], rows)


if __name__ == "__main__":
    main()
