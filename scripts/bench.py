#!/usr/bin/env python
"""How fast kdrun is, as ratios: each case beside a named reference, both measured in this one run.

    .venv/bin/python scripts/bench.py                 every case
    .venv/bin/python scripts/bench.py --only mate_kd  those whose name holds a word
    .venv/bin/python scripts/bench.py --json FILE     the figures too

Rounds alternate between the two sides, so that both meet the same noise; the ratio is the median over rounds of
reference ÷ kdrun. Peak memory is that of one process a side, less what it held before its first step.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from textbook import Textbook, draw_noise, padded

from kdrun import losses, relax
from kdrun.config import OptimConfig
from kdrun.data.config import TaskConfig
from kdrun.data.feed import Feed
from kdrun.data.tokens import TokenTable
from kdrun.loop import Loop, Settings
from kdrun.method import Parts, Phase, Turn, Vocabulary
from kdrun.methods.mate_kd import MateKD, MateKDConfig

VOCAB, BATCH, MAX_LENGTH, ROWS, MASK_RATE = 30522, 32, 128, 4096, 0.3
PAD_ID, MASK_ID, SPECIAL = 0, 103, torch.tensor([0, 100, 101, 102, 103])
SST2_LENGTHS = [3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 11, 13, 14, 16, 18, 20, 23, 27, 33, 66]
"""Quantiles 0, 0.05 … 1 of the WordPiece tokens of SST-2's training rows."""
FOUR_LAYERS = {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
TASK = TaskConfig(name="sst2", labels=["negative", "positive"], metrics=["accuracy"], headline="accuracy")


@dataclass(frozen=True)
class Side:
    """One side of a case: `run(n)` takes n steps, `steps` of them a round."""

    run: Callable[[int], None]
    steps: int


@dataclass(frozen=True)
class Case:
    """Something that is measured: kdrun beside a reference."""

    name: str
    reference: str
    make: Callable[[str], Side]


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


class Silent:
    """An observer that looks away."""

    def step(self, record: dict[str, Any], total: int) -> None:
        """Not looked at."""

    def evaluated(self, record: dict[str, Any], is_best: bool) -> None:
        """Not looked at."""

    def unscored(self, record: dict[str, Any]) -> None:
        """Not looked at."""

    def inspected(self, found: Any) -> None:
        """Not looked at."""


def rows() -> tuple[TokenTable, np.ndarray]:
    """Random tokens in rows as long as SST-2's, and random labels."""
    random = np.random.default_rng(0)
    lengths = np.interp(random.random(ROWS), np.linspace(0, 1, 21), SST2_LENGTHS).astype(int)
    texts = [[101, *random.integers(1000, VOCAB, n - 2).tolist(), 102] for n in lengths]
    types = [[0] * len(text) for text in texts]
    lists = {"input_ids": pa.array(texts, pa.list_(pa.int32())), "token_type_ids": pa.array(types, pa.list_(pa.int8()))}
    return TokenTable(pa.table(lists), PAD_ID, 0, "bench"), random.integers(0, 2, ROWS).astype(np.int64)


def four_layer_roles() -> dict[str, nn.Module]:
    """Generator, teacher, student of 4 layers × 256 with random weights."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=VOCAB, **FOUR_LAYERS)  # pyright: ignore[reportArgumentType]
    judges = {role: BertForSequenceClassification(config) for role in ("teacher", "student")}
    return {"generator": BertForMaskedLM(config), **judges}


def mate_kd_ours(turn: str) -> Side:
    """The turn as kdrun takes it: its loop, buckets, cached teacher logits."""
    (table, labels), roles = rows(), four_layer_roles()
    for model in roles.values():
        model.requires_grad_(False).eval()
    parts = Parts(
        roles, TASK, losses.kl_divergence, losses.hard_loss(False), 0, torch.device("cpu"), Vocabulary(MASK_ID, SPECIAL)
    )
    taught = np.random.default_rng(1).normal(size=(ROWS, 2)).astype(np.float32)
    feed = Feed(dict.fromkeys(roles, table), labels, torch.device("cpu"), taught)
    accelerator, optim = Accelerator(cpu=True), OptimConfig(lr=1e-5, warmup_ratio=0.0)
    seed = iter(range(10**6))

    def run(steps: int) -> None:
        method = MateKD(MateKDConfig(mask_rate=MASK_RATE, generator_optim=optim), parts)
        phase = Phase("train", (Turn(turn),), steps=steps, batch_size=BATCH)
        settings = Settings(optim, next(seed), log_every=10**6)
        Loop(method, [phase], feed, settings, accelerator, lambda: (None, {}), Silent()).run()

    return Side(run, steps=24 if turn == "student" else 8)


def mate_kd_textbook(turn: str) -> Side:
    """The turn as on paper: padded to 128, sampled everywhere, soft one-hots, nothing kept."""
    (table, labels), roles = rows(), four_layer_roles()
    roles["teacher"].requires_grad_(False).eval()
    paper = Textbook(roles, MASK_ID, SPECIAL)
    optimizers = {role: torch.optim.AdamW(roles[role].parameters(), lr=1e-5) for role in ("student", "generator")}
    batches = iter(np.random.default_rng(2).integers(0, ROWS, (10**5, BATCH)))

    def run(steps: int) -> None:
        for _ in range(steps):
            chosen = next(batches)
            inputs = padded(table.batch(chosen), MAX_LENGTH, PAD_ID)
            mask = relax.maskable(inputs, SPECIAL) & (torch.rand(BATCH, MAX_LENGTH) < MASK_RATE)
            noise = draw_noise(BATCH, MAX_LENGTH, VOCAB)
            if turn == "generator":
                loss = paper.generator_loss(inputs, mask, noise) / BATCH
            else:
                loss = paper.student_loss(inputs, torch.from_numpy(labels[chosen]), mask, noise) / BATCH
            for optimizer in optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(roles[turn].parameters(), 5.0)
            optimizers[turn].step()

    return Side(run, steps=1)


def mate_kd(turn: str) -> Case:
    """A case of one of MATE-KD's turns."""

    def make(side: str) -> Side:
        return mate_kd_ours(turn) if side == "kdrun" else mate_kd_textbook(turn)

    return Case(f"mate_kd {turn} turn", "textbook step", make)


CASES = [mate_kd("student"), mate_kd("generator")]


def measure(case: Case, rounds: int) -> Figure:
    """Alternate between the sides; the first round warms up and is not counted."""
    sides = {side: case.make(side) for side in ("kdrun", "reference")}
    took: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            side.run(side.steps)
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
    )


def peak_of(name: str, side: str) -> float:
    """Extra peak memory of a few steps in a process of their own, in MiB."""
    words = [sys.executable, __file__, "--peak", name, side]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])


def peak(name: str, side: str) -> None:
    """Print the extra peak memory of this process, in MiB; for `peak_of`."""
    made = next(case for case in CASES if case.name == name).make(side)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of building the models (Linux, proc(5))
    before = status("VmRSS")
    made.run(made.steps)
    print((status("VmHWM") - before) / 1024)


def status(name: str) -> int:
    """A line of this process's status, in KiB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if name in line)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure the chosen cases and print one table."""
    parser = argparse.ArgumentParser(description="kdrun's speed as ratios to named references")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--peak", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak:
        peak(*asked.peak)
        return
    figures = [measure(case, asked.rounds) for case in CASES if asked.only in case.name]
    table = Table(title=", ".join(f"{name} {value}" for name, value in machine().items()))
    for column in ("case", "reference", "faster", "least … most", "ms", "ref. ms", "less memory", "MiB", "ref. MiB"):
        table.add_column(column)
    for f in figures:
        table.add_row(
            f.case, f.reference, f"{f.ratio:.1f}x", f"{f.low:.1f} … {f.high:.1f}", f"{f.kdrun_ms:.0f}",
            f"{f.reference_ms:.0f}", f"{f.reference_mib / f.kdrun_mib:.1f}x", f"{f.kdrun_mib:.0f}",
            f"{f.reference_mib:.0f}",
        )  # fmt: skip
    Console(width=140).print(table)
    if asked.json:
        found = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
