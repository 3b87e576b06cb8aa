"""Measure reading and tokenizing a CSV file of your own, next to `datasets` and the fast tokenizer alone.

    .venv/bin/python -m benchmarks.own_rows                      500 000 and 1 000 000 rows, 3 rounds
    .venv/bin/python -m benchmarks.own_rows --rows 100000 200000 --rounds 1 --into docs/results/performance.md

kdrun checks the bytes and the rows, infers columns and classes, hashes the rows, tokenizes them, writes the tokens to
an empty cache and opens them. The reference calls `load_dataset("csv")` with an empty cache, and the tokenizer on
batches of its texts; it keeps no tokens. Each side of each round is a new process, without its imports. The peak is the
resident set above that before the start; the part without mapped files, which the system cannot take back, is sampled.
Files of several sizes show how the peak grows with the rows.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import numpy as np

from benchmarks.blocks import put, table
from benchmarks.cases.words import texts, word_pieces
from benchmarks.machine import title

SIDES = ("kdrun", "reference")
MAX_LENGTH = 128
BATCH = 8192
SAMPLE_EVERY = 0.01
"""Seconds between two samples of the memory."""
DEV = "text,label\nw1 w2,no\nw2 w3,yes\n"


class Figures(NamedTuple):
    """Seconds of one side, and its extra peak memory in MiB with and without mapped files."""

    seconds: float
    peak: float
    anonymous: float


def write_rows(path: Path, count: int) -> None:
    """Write random texts as long as SST-2's with a label each; one text in ten has a comma and a quote."""
    labels = np.random.default_rng(1).integers(0, 2, count)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number, (text, label) in enumerate(zip(texts(count), labels, strict=True)):
            writer.writerow([f'"{text}", {number}' if number % 10 == 0 else f"{text} {number}", ("no", "yes")[label]])


def read_with_kdrun(path: Path) -> int:
    """Read and tokenize the file by kdrun; return the number of rows."""
    from kdrun.config.data import FilesDataConfig
    from kdrun.config.task import TaskConfig
    from kdrun.data.files.dataset_files import load_own_data
    from kdrun.data.tokenization import tokenize

    config = FilesDataConfig(name="files", train=str(path), dev=str(path.with_name("dev.csv")))
    train = load_own_data(config, TaskConfig(name="own", headline="")).splits["train"]
    return tokenize(train, word_pieces(), MAX_LENGTH).num_rows


def read_with_datasets(path: Path) -> int:
    """Read the file by `datasets` and call the fast tokenizer on its texts; return the number of rows."""
    import datasets

    datasets.disable_progress_bars()
    tokenizer, count = word_pieces(), 0
    with tempfile.TemporaryDirectory() as folder:
        rows: Any = datasets.load_dataset("csv", data_files=str(path), split="train", cache_dir=folder)
        for batch in rows.iter(BATCH):
            count += len(tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH)["input_ids"])
    return count


def measure_here(side: str, path: Path) -> None:
    """Print seconds and extra peak memory (MiB, with and without mapped files) of one side in this process."""
    import datasets  # noqa: F401  neither side pays for imports

    import kdrun.data.files.dataset_files
    import kdrun.data.tokenization  # noqa: F401

    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports (Linux, proc(5))
    before, anonymous, samples = _status("VmRSS"), _status("RssAnon"), [0]
    Thread(target=_sample, args=(samples,), daemon=True).start()
    started = time.perf_counter()
    (read_with_kdrun if side == "kdrun" else read_with_datasets)(path)
    seconds = time.perf_counter() - started
    print(seconds, (_status("VmHWM") - before) / 1024, (max(samples) - anonymous) / 1024)


def _sample(samples: list[int]) -> None:
    """Keep the largest resident set without mapped files, in KiB."""
    while True:
        samples[0] = max(samples[0], _status("RssAnon"))
        time.sleep(SAMPLE_EVERY)


def _status(name: str) -> int:
    """Return a value of this process's status, in KiB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if name in line)


def measure(side: str, path: Path) -> Figures:
    """Measure one side in a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.own_rows", "--side", side, "--file", str(path)]
        env = {**os.environ, "KDRUN_CACHE": folder, "HF_HOME": folder, "HF_HUB_OFFLINE": "1"}
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.split()
    return Figures(*map(float, output[-3:]))


def row(count: int, rounds: int) -> list[str]:
    """Measure both sides in turns on a file of this many rows; return the cells of a table."""
    figures: dict[str, list[Figures]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.csv"
        write_rows(path, count)
        path.with_name("dev.csv").write_text(DEV)
        size = path.stat().st_size
        for _ in range(rounds):
            for side in SIDES:
                figures[side].append(measure(side, path))
                print(count, side, figures[side][-1], flush=True)
    ours, theirs = (figures[side] for side in SIDES)
    ratios = [a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True)]
    return [
        f"{count:,}".replace(",", " "),
        f"{size / 2**20:.0f}",
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} … {max(ratios):.2f}",
        *(f"{max(one.peak for one in side):.0f} ({max(one.anonymous for one in side):.0f})" for side in (ours, theirs)),
    ]


def main() -> None:
    """Measure both sides on files of each size and print one table."""
    parser = argparse.ArgumentParser(description="reading and tokenizing own rows")
    parser.add_argument("--rows", type=int, nargs="+", default=[500_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", type=Path, help="a document with a block named own_rows")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        measure_here(args.side, args.file)
        return
    columns = ["rows", "file, MiB", "kdrun ÷ reference, time", "min … max"]
    columns += ["peak of kdrun, MiB (without mapped files)", "of the reference"]
    text = f"{title()}\n\n{table(columns, [row(count, args.rounds) for count in args.rows])}"
    print(text)
    if args.into:
        put(args.into, "own_rows", text)


if __name__ == "__main__":
    main()
