"""Measure a vocabulary, a sample of sentences and pretraining tokens of a corpus of synthetic text.

    .venv/bin/python -m benchmarks.corpus                        200 MB, before and after
    .venv/bin/python -m benchmarks.corpus --gib 5 --token-lines 2000000 --keep FOLDER --rows ROWS.jsonl \
        --into docs/guides/corpora.md

The words of the text are frequent by Zipf's law, P(rank r) ∝ 1/r over 400 000 words; sentences have capitals and
punctuation marks. Each stage runs in a new process. The peak is the largest proportional set size (PSS) of that process
and its children together, read twice per second; it includes mapped files. The side `before` is kdrun's earlier code
in one process: every line is normalized before its words are counted, and token ids are Python lists. The trainer of
the vocabulary is the same on both sides and measured once. With `--rows`, stages and sides that the file has are not
measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil

from benchmarks.blocks import put, table
from kdrun.config.data import FolderCorpusConfig
from kdrun.data.corpus.corpora import Corpus, folder_corpus

T = TypeVar("T")
CONSONANTS, VARIANTS = "bdfgklmnprstvz", 4
SYLLABLES = [f"{a}{b}{c}" for a in CONSONANTS for b in "aeiou" for c in ("", "n")]
NUM_WORDS = 400_000
VOCAB_SIZE, MAX_LENGTH, ROWS = 30_000, 128, 100_000
BLOCK_SENTENCES = 50_000
FILE_BYTES = 256 << 20


def make_word(rank: int) -> str:
    """The word of a rank; frequent words are short."""
    word = ""
    while True:
        rank, syllable = divmod(rank, len(SYLLABLES))
        word += SYLLABLES[syllable]
        if not rank:
            return word


def sentences(draws: np.random.Generator, words: list[str]) -> Iterator[str]:
    """Yield endless random sentences."""
    while True:
        lengths = draws.integers(5, 30, BLOCK_SENTENCES)
        # ⌊N^u⌋ with uniform u has the probability log(1 + 1/r)/log N ≈ 1/(r log N) at rank r
        ranks = (NUM_WORDS ** draws.random(int(lengths.sum()))).astype(np.int64) - 1
        text, start = [words[rank] for rank in ranks.tolist()], 0
        for length in lengths.tolist():
            sentence = text[start : start + length]
            start += length
            sentence[length // 2] += ","
            yield f"{sentence[0].capitalize()} {' '.join(sentence[1:])}."


def write_corpus(folder: Path, size: int) -> int:
    """Write text files of `size` bytes in total, four sentences per line; return the number of bytes.

    Files after the first have its text with other consonants, in four variants, so that new words keep coming;
    drawing all words would take longer than the measurement.
    """
    stream = sentences(np.random.default_rng(1), [make_word(rank) for rank in range(NUM_WORDS)])
    lines: list[str] = []
    length = 0
    while length < min(size, FILE_BYTES):
        lines.append(" ".join(islice(stream, 4)) + "\n")
        length += len(lines[-1])
    text, written, number = "".join(lines).encode("ascii"), 0, 0
    del lines
    while written < size:
        turn = number % VARIANTS
        table = bytes.maketrans(CONSONANTS.encode(), (CONSONANTS[turn:] + CONSONANTS[:turn]).encode())
        part = text.translate(table)
        part = part[: part.find(b"\n", size - written) + 1] if written + len(part) > size else part
        written += (folder / f"part-{number:04}.txt").write_bytes(part)
        number += 1
    return written


def count_before(corpus: Corpus) -> Counter[str]:
    """Words for WordPiece, counted line by line."""
    from kdrun.data.corpus.word_counts import bert_normalizer, bert_splitter

    words: Counter[str] = Counter()
    for line in corpus.lines():
        words.update(word for word, _ in bert_splitter.pre_tokenize_str(bert_normalizer.normalize_str(line)))
    return words


def count_now(corpus: Corpus) -> Counter[str]:
    """Words for WordPiece."""
    from kdrun.data.corpus.word_counts import count_words, wordpiece_words

    return count_words(corpus, wordpiece_words)


def sample(corpus: Corpus, processes: int | None) -> None:
    """Sentences for pairs of all three sorts."""
    from kdrun.data.corpus.sentence_samples import OODSpec, collect_sentences

    weights = {"edit": 1.0, "neighbour": 1.0, "random": 1.0}
    collect_sentences(OODSpec(ROWS, weights, (False, False), 5, False, 3, 10_000), corpus, 1, processes)


def tokenize_before(corpus: Corpus, tokenizer: Any, num_lines: int) -> int:
    """Token ids of the first lines, as Python lists; return their number."""
    lines = islice(corpus.lines(), num_lines)
    rows: list[list[int]] = []
    while chunk := list(islice(lines, 4096)):
        encoded = tokenizer(
            chunk, truncation=True, max_length=MAX_LENGTH, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]
        rows += [row for row in encoded if len(row) > 2]
    return sum(map(len, rows))


def tokenize_now(corpus: Corpus, tokenizer: Any, num_lines: int) -> int:
    """Token ids of the first lines in mapped files; return their number."""
    from kdrun.data.corpus.line_tokens import tokenize_lines

    return int(tokenize_lines(corpus, tokenizer, num_lines, MAX_LENGTH).lengths.sum())


def run_stage(stage: str, side: str, folder: Path, num_lines: int) -> None:
    """Print lines with a name, wall and CPU seconds, and a number of words, entries, rows or tokens."""
    corpus, now = folder_corpus(FolderCorpusConfig(name="folder", dir=str(folder))), side == "now"
    corpus.__dict__["fingerprint"] = "0" * 64
    if stage == "vocabulary":
        from kdrun.models.tokenizer_training import _wordpiece

        words = _timed("count words", lambda: (count_now if now else count_before)(corpus), len)
        if now:  # the same before
            _timed("train WordPiece", lambda: _wordpiece(words, VOCAB_SIZE), lambda trained: trained.get_vocab_size())
    elif stage == "sentences":
        _timed("sample sentences", lambda: sample(corpus, None if now else 1), lambda _: ROWS)
    else:
        tokenizer, tokenize = _tokenizer(corpus), tokenize_now if now else tokenize_before
        _timed("tokenize", lambda: tokenize(corpus, tokenizer, num_lines), int)


def _tokenizer(corpus: Corpus) -> Any:
    """A tokenizer of BERT for the corpus, trained on its first lines."""
    from kdrun.config.architectures import Architecture
    from kdrun.models.tokenizer_training import train, wrap

    head = Corpus("head", True, lambda: islice(corpus.open_lines(), 20_000), lambda: "")
    return wrap(train(head, "wordpiece", VOCAB_SIZE), Architecture.bert, MAX_LENGTH)


def _timed(name: str, function: Callable[[], T], size: Callable[[T], int]) -> T:
    started, before = time.perf_counter(), os.times()
    result = function()
    cpu = sum(os.times()[:4]) - sum(before[:4])  # of this process and of its children, which have ended
    print(f"{name}\t{time.perf_counter() - started}\t{cpu}\t{size(result)}", flush=True)
    return result


def measure(stage: str, side: str, folder: Path, num_lines: int) -> list[tuple[str, float, float, int, float]]:
    """Run a stage in a new process; return name, wall and CPU seconds, size and peak MiB of its parts."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        command = [sys.executable, "-m", "benchmarks.corpus", "--stage", stage, "--sides", side]
        command += ["--folder", str(folder), "--token-lines", str(num_lines)]
        env, output = {**os.environ, "KDRUN_CACHE": work}, Path(work) / "output"
        with output.open("w") as file:
            process = subprocess.Popen(command, env=env, stdout=file)
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.5)
        if process.returncode:
            raise SystemExit(f"{stage} ended with exit code {process.returncode}")
        parts = [line.split("\t") for line in output.read_text().splitlines()]
    return [(name, float(wall), float(cpu), int(size), peak / 2**20) for name, wall, cpu, size in parts]


def tree_memory(pid: int) -> int:
    """Proportional set size of a process and its children, in bytes."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def measure_missing(args: argparse.Namespace, folder: Path, size: float) -> list[list[str]]:
    """Measure each stage and side that `--rows` does not have; return the rows of the table.

    Args:
        args: the command line.
        folder: of the corpus.
        size: of the corpus, in MB.
    """
    known: dict[str, list[list[str]]] = {}
    if args.rows and args.rows.exists():
        known = dict(json.loads(line) for line in args.rows.read_text().splitlines())
    for stage in args.stages.split(","):
        for side in args.sides.split(","):
            if (key := f"{stage} {side}") in known:
                continue
            measured = measure(stage, side, folder, args.token_lines)
            load = f"{os.getloadavg()[2]:.0f}"
            known[key] = []
            for name, wall, cpu, count, peak in measured:
                rate = f"{count / cpu / 1e3:,.0f} k tokens" if stage == "tokens" else f"{size / cpu:.1f} MB"
                known[key].append([name, side, f"{wall:,.0f}", f"{cpu:,.0f}", load, rate, f"{count:,}", f"{peak:,.0f}"])
                print(*known[key][-1], sep=" | ", flush=True)
            if args.rows:
                with args.rows.open("a") as file:
                    file.write(json.dumps([key, known[key]]) + "\n")
    return [row for rows in known.values() for row in rows]


def main() -> None:
    """Write the corpus, measure the stages and print one table."""
    from benchmarks.machine import title  # imports torch, which no stage needs

    parser = argparse.ArgumentParser(description="stages of a large corpus")
    parser.add_argument("--gib", type=float, default=200e6 / 2**30)
    parser.add_argument("--sides", default="before,now")
    parser.add_argument("--stages", default="vocabulary,sentences,tokens")
    parser.add_argument("--token-lines", type=int, default=200_000, help="lines to tokenize")
    parser.add_argument("--into", type=Path, help="a document with a block named corpus")
    parser.add_argument("--rows", type=Path, help="a JSON Lines file of measurements, which is continued")
    parser.add_argument("--keep", type=Path, help="folder of the corpus, which is kept and used again")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        run_stage(args.stage, args.sides, args.folder, args.token_lines)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary) / "corpus"
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            write_corpus(folder, int(args.gib * 2**30))
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        rows = measure_missing(args, folder, size)
    header = [
        "stage",
        "side",
        "wall s",
        "CPU s",
        "load",
        "per CPU second",
        "words, entries, rows or tokens",
        "peak MiB",
    ]
    cpus = f"{len(os.sched_getaffinity(0))} CPUs"
    text = f"{size / 1e3:.1f} GB of text, {cpus}, {title()}\n\n{table(header, rows)}"
    print(text)
    if args.into:
        put(args.into, "corpus", text)


if __name__ == "__main__":
    main()
