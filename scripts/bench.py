"""Measure the speed of kdrun as ratios to named references.

    .venv/bin/python scripts/bench.py                 all cases
    .venv/bin/python scripts/bench.py --list          names of all cases
    .venv/bin/python scripts/bench.py --only mate_kd  cases whose name contains a text
    .venv/bin/python scripts/bench.py --json FILE     also write the measurements to a file
    .venv/bin/python scripts/bench.py --into docs/results/performance.md
                                                      update the table of the page (with --only: only these rows)
    .venv/bin/python scripts/bench.py --device cuda --precision bf16 --scale roberta
                                                      RoBERTa-large teaches DistilRoBERTa, on a GPU

Rounds alternate between kdrun and the reference, so that both have the same noise. The ratio is the median over rounds
of reference ÷ kdrun. It is below 1 if kdrun takes longer, for example if a method's step does more than the reference
step. Peak memory is measured in one process per side, without the memory used before the first step.
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
    """Measurement of a case: medians over rounds, smallest and largest ratio, extra peak memory in MiB."""

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
    milliseconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            side.run(side.steps)
            finish()
            milliseconds[name].append(1000 * (time.perf_counter() - started) / side.steps)
    ours, theirs = milliseconds["kdrun"][1:], milliseconds["reference"][1:]
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
    """Wait for pending work of the GPU."""
    if SCALE.device == "cuda":
        torch.cuda.synchronize()


def peak_of(name: str, side: str) -> float:
    """Return the extra peak memory of a few steps in a separate process, in MiB."""
    command = [sys.executable, __file__, *scale_options(), "--peak", name, side]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def peak(name: str, side: str) -> None:
    """Print the extra peak memory of this process, in MiB, for `peak_of`."""
    side_steps = next(case for case in CASES if case.name == name).make(side)
    if SCALE.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        side_steps.run(side_steps.steps)
        print((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building the models (Linux, proc(5))
    before = status("VmRSS")
    side_steps.run(side_steps.steps)
    print((status("VmHWM") - before) / 1024)


def status(name: str) -> int:
    """Return a value of this process's status, in KiB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if name in line)


def scale_options() -> list[str]:
    """Return the options that make another process measure at the same scale."""
    return ["--device", SCALE.device, "--precision", SCALE.precision, "--scale", SCALE.name]


def main() -> None:
    """Measure the selected cases and print one table."""
    parser = argparse.ArgumentParser(description="speed of kdrun as ratios to named references")
    parser.add_argument("--only", default="", help="only cases whose name contains this text")
    parser.add_argument("--list", action="store_true", help="print the selected cases, and measure nothing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument(
        "--scale", choices=("small", "roberta"), default="small", help="roberta: RoBERTa-large and DistilRoBERTa"
    )
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    parser.add_argument("--into", type=Path, help="a document with a block named bench")
    parser.add_argument("--peak", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    SCALE.device, SCALE.precision = args.device, args.precision
    scale_to(args.scale)
    if args.peak:
        peak(*args.peak)
        return
    if args.list:
        print("\n".join(f"{case.name}: {case.reference}" for case in CASES if args.only in case.name))
        return
    with tempfile.TemporaryDirectory() as folder:  # cases with a cache use a temporary one
        os.environ["KDRUN_CACHE"] = folder
        figures = [measure(case, args.rounds) for case in CASES if args.only in case.name]
    show(figures)
    if args.into:
        put(args.into, "bench", markdown(figures, args.rounds, args.into if args.only else None))
    if args.json:
        content = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


COLUMNS = ["case", "reference", "ratio", "min … max", "target", "ms", "ref. ms", "less memory", "MiB", "ref. MiB"]


def cells(f: Figure) -> list[str]:
    """Return a measurement as a row of `COLUMNS`."""
    return [
        f.case, f.reference, f"{f.ratio:.2g}x", f"{f.low:.2g} … {f.high:.2g}", f.target, f"{f.kdrun_ms:.0f}",
        f"{f.reference_ms:.0f}", f"{f.reference_mib / max(f.kdrun_mib, 1):.1f}x", f"{f.kdrun_mib:.0f}",
        f"{f.reference_mib:.0f}",
    ]  # fmt: skip


def show(figures: list[Figure]) -> None:
    """Print the table."""
    rich_table = Table(*COLUMNS, title=title())
    for figure in figures:
        rich_table.add_row(*cells(figure))
    Console(width=140).print(rich_table)


def markdown(figures: list[Figure], rounds: int, document: Path | None = None) -> str:
    """Format the table for a document, without times, which depend on the machine.

    If only some cases were measured, they replace their rows in the document's table.

    Raises:
        SystemExit: the document's table is of another machine or other versions.
    """
    columns = [i for i, name in enumerate(COLUMNS) if "ms" not in name and "MiB" not in name]
    rows = [[cells(figure)[i] for i in columns] for figure in figures]
    heading = f"{title()}, {rounds} rounds"
    if document is not None:
        before = block(document, "bench")
        if before.partition("\n")[0] != heading:
            raise SystemExit(
                f"the table in {document} was not measured on {heading}; measure all cases, without --only"
            )
        rows = replaced(before, rows)
    return f"{heading}\n\n" + table([COLUMNS[i] for i in columns], rows)


if __name__ == "__main__":
    main()
