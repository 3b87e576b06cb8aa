"""What is not training: share of the machine's peak, evaluation, tokenisation, start of the command."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cases.base import SCALE, TASK, Case, Side, accelerator, in_loop, model, on_device, rows
from benchmarks.cases.plain import kept
from benchmarks.cases.words import texts, word_pieces
from kdrun import losses, registry
from kdrun.data.loader import BatchLoader
from kdrun.data.samplers import longest_first_batches
from kdrun.data.splits import Split
from kdrun.data.tokenization import tokenize
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn
from kdrun.tasks.evaluator import Evaluator
from kdrun.tasks.predictor import Predictor

TOKENS = 64
"""Length of the rows whose share of the peak is measured."""
SQUARE = 2048
"""Side of the matrices whose product sets the peak."""
DEV_ROWS = 872


def encoder_step() -> Side:
    """A step of kd for the encoder, on rows of one length."""
    (table, labels), entry = rows(length=TOKENS), registry.get("method", "kd")
    assert entry.config is not None
    device = torch.device(SCALE.device)
    parts = MethodContext(
        {"student": model(SCALE.encoder)}, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device
    )
    phase = Phase("train", (Turn("student"),), steps=1, batch_size=SCALE.batch)
    return in_loop(
        partial(entry.target, entry.config(), parts), phase, BatchLoader({"student": table}, labels, device, kept()), 4
    )


def counted_flops() -> int:
    """Floating-point operations of that step, forward and backward, attention included (counted in eager mode,
    because the counter sees nothing of fused attention on a CPU); the optimizer's are left out."""
    table, _ = rows(SCALE.batch, TOKENS)
    student = model(SCALE.encoder, attention="eager").requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        student(**on_device(table.batch(np.arange(SCALE.batch)))).logits.sum().backward()
    return counter.get_total_flops()


def products() -> Side:
    """Products of square matrices with as many operations as a step of the encoder: the machine's own peak."""
    dtype = torch.bfloat16 if SCALE.precision == "bf16" else torch.float32
    a, b = (torch.randn(SQUARE, SQUARE, dtype=dtype, device=SCALE.device) for _ in range(2))
    per_step = counted_flops() / (2 * SQUARE**3)
    owed = 0.0

    def run(steps: int) -> None:
        nonlocal owed
        owed += steps * per_step
        while owed >= 1:
            torch.mm(a, b)
            owed -= 1

    return Side(run, steps=4)


def evaluation(side: str) -> Side:
    """A pass over as many rows as SST-2's dev split has, as the evaluator takes it or as bare forward passes."""
    table, labels = rows(DEV_ROWS)
    classifier, own = model(SCALE.large), accelerator()
    evaluator = Evaluator(TASK, {"dev": labels}, Predictor(own, 256))

    def ours(steps: int) -> None:
        for _ in range(steps):
            evaluator.score({"dev": evaluator.predictor.logits(classifier, table, TASK.num_outputs)})

    ready = [on_device(table.batch(chosen)) for chosen in longest_first_batches(table.lengths, 256)]

    def bare(steps: int) -> None:
        for _ in range(steps):
            with torch.inference_mode(), own.autocast():
                for batch in ready:
                    classifier(**batch)

    return Side(ours if side == "kdrun" else bare, steps=1)


def tokenisation(is_cached: bool, side: str) -> Side:
    """All texts into token ids: by kdrun (new, or from its cache), or by a padded `datasets.map`, as is usual."""
    tokenizer, made = word_pieces(), texts(SCALE.texts)
    table = pa.table({"text": pa.array(made), "label": pa.array(np.zeros(len(made), np.int32))})
    fresh = itertools.count()

    def split() -> Split:
        # by another name a time, so that the cache does not know it
        content = "known" if is_cached else f"{os.getpid()} {next(fresh)}"
        return Split("train", table, "made-up texts", content)

    def ours(steps: int) -> None:
        for _ in range(steps):
            tokenize(split(), tokenizer, SCALE.max_length)

    def usual(steps: int) -> None:
        import datasets

        def encode(batch: dict[str, Any]) -> Any:
            return tokenizer(batch["text"], padding="max_length", truncation=True, max_length=SCALE.max_length)

        datasets.disable_progress_bars()
        for _ in range(steps):
            with tempfile.TemporaryDirectory() as folder:
                found = datasets.Dataset.from_dict({"text": made})
                found.map(encode, batched=True, cache_file_name=str(Path(folder) / "tokens.arrow"))

    return Side(ours if side == "kdrun" else usual, steps=1)


def start(side: str) -> Side:
    """The command's help, beside Python importing what a run needs."""
    code = "from kdrun.cli.main import main; main()" if side == "kdrun" else "import torch, transformers, datasets"
    words = [sys.executable, "-c", code, "--help"]

    def run(steps: int) -> None:
        for _ in range(steps):
            subprocess.run(words, capture_output=True, check=True, env=os.environ)

    return Side(run, steps=1)


CASES = [
    Case(
        "kd step of the encoder (share)",
        "its FLOPs at the matrix peak",
        lambda side: encoder_step() if side == "kdrun" else products(),
        "≥ 0.5x",
    ),
    Case("evaluation, 872 rows", "bare forward passes", evaluation, "≥ 0.91x"),
    Case("tokenisation, 67 349 rows", "datasets.map, padded", partial(tokenisation, False), "≤ 5 s"),
    Case("tokenisation, cached", "datasets.map, padded", partial(tokenisation, True), "≤ 0.5 s"),
    Case("kdrun --help", "importing torch, transformers, datasets", start, "≤ 0.5 s"),
]
