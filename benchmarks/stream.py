"""Measure the peak memory of a ZSKD run by the size of its corpus of random text.

    .venv/bin/python -m benchmarks.stream                        0.05 and 5 GiB
    .venv/bin/python -m benchmarks.stream --gib 0.05,1 --into docs/results/performance.md

The corpus is written to a temporary folder, and the cache is empty. A run reads the whole corpus once for its
fingerprint and once per artifact built from it: here a vocabulary and the training sentences. The peak is the resident
set of the process, including mapped files.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from benchmarks.blocks import put, table
from benchmarks.peak import peak_of

RUN = ("method=zskd", "task=sst2", "preset=smoke", "report=false", "corpus=folder", "ood.rows=2000", "optim.steps=20")
RUN += ("teacher.allow_weak=true",)
LINES_PER_FILE = 200_000
SYLLABLES = [f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in "aeiou" for c in "nrstlmx"]


def write(folder: Path, size: int) -> int:
    """Write text files of `size` bytes in total, with two random sentences per line; return the number of bytes.

    Files differ in one word of each sentence only: generating new lines for each file would take longer than the run.
    """
    draw = random.Random(0)
    lines = (draw.choices(SYLLABLES, k=24) for _ in range(LINES_PER_FILE))
    text = "".join(f"The @ {' '.join(words[:12])}. A @ {' '.join(words[12:])}.\n" for words in lines)
    written, number = 0, 0
    while written < size:
        first, second = divmod(number, len(SYLLABLES))
        part = text.replace("@", SYLLABLES[first] + SYLLABLES[second])[: size - written]
        number += 1
        (folder / f"part-{number:05}.txt").write_text(part, encoding="ascii")
        written += len(part)
    return written


def main() -> None:
    """Measure each size and print one table."""
    parser = argparse.ArgumentParser(description="peak memory of a data-free run by corpus size")
    parser.add_argument("--gib", default="0.05,5", help="sizes of the corpus, GiB")
    parser.add_argument("--into", type=Path, help="a document with a block named stream")
    args = parser.parse_args()
    rows = []
    for size in map(float, args.gib.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus"
            corpus.mkdir()
            written = write(corpus, int(size * 2**30))
            overrides = (*RUN, f"corpus.dir={corpus}", f"run_dir={Path(folder) / 'run'}")
            peak = peak_of(overrides, {"KDRUN_CACHE": str(Path(folder) / "cache")})
        rows.append([f"{written / 2**30:.2f}", f"{peak:.0f}", f"{peak * 2**20 / written:.2g}"])
        print(rows[-1], flush=True)
    text = table(["corpus, GiB", "peak of the run, MiB", "peak ÷ corpus"], rows)
    print(text)
    if args.into:
        put(args.into, "stream", text)


if __name__ == "__main__":
    main()
