"""Peak memory of a ZSKD run whose corpus is larger and larger: made-up text, written to a temporary folder.

    .venv/bin/python -m benchmarks.stream                        0.05 and 5 GiB
    .venv/bin/python -m benchmarks.stream --gib 0.05,1 --into docs/results/performance.md

A run reads all of its corpus once to know it by its content, and once for each thing that is made of all of
it: here a vocabulary, and sentences to learn from. Its cache is a new one. The peak is the process's resident set,
which counts pages of mapped files too.
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
LINES_A_FILE = 200_000
SYLLABLES = [f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in "aeiou" for c in "nrstlmx"]


def write(folder: Path, size: int) -> int:
    """Text files of so many bytes in all: lines of two sentences of made-up words, no two alike; returns bytes.

    Files have the same lines but for a word of each sentence, which is the file's own: drawn anew, they took longer
    than the run.
    """
    draw = random.Random(0)
    lines = (draw.choices(SYLLABLES, k=24) for _ in range(LINES_A_FILE))
    text = "".join(f"The @ {' '.join(words[:12])}. A @ {' '.join(words[12:])}.\n" for words in lines)
    written, number = 0, 0
    while written < size:
        first, second = divmod(number, len(SYLLABLES))
        made = text.replace("@", SYLLABLES[first] + SYLLABLES[second])[: size - written]
        number += 1
        (folder / f"part-{number:05}.txt").write_text(made, encoding="ascii")
        written += len(made)
    return written


def main() -> None:
    """Measure each size, print one table."""
    parser = argparse.ArgumentParser(description="peak memory of a data-free run by the size of its corpus")
    parser.add_argument("--gib", default="0.05,5", help="sizes of the corpus, GiB")
    parser.add_argument("--into", type=Path, help="a document with a block named stream")
    asked = parser.parse_args()
    rows = []
    for size in map(float, asked.gib.split(",")):
        with tempfile.TemporaryDirectory() as place:
            corpus = Path(place) / "corpus"
            corpus.mkdir()
            written = write(corpus, int(size * 2**30))
            words = (*RUN, f"corpus.dir={corpus}", f"run_dir={Path(place) / 'run'}")
            peak = peak_of(words, {"KDRUN_CACHE": str(Path(place) / "cache")})
        rows.append([f"{written / 2**30:.2f}", f"{peak:.0f}", f"{peak * 2**20 / written:.2g}"])
        print(rows[-1], flush=True)
    text = table(["corpus, GiB", "peak of the run, MiB", "peak ÷ corpus"], rows)
    print(text)
    if asked.into:
        put(asked.into, "stream", text)


if __name__ == "__main__":
    main()
