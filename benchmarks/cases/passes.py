"""Share of the machine's peak, evaluation, tokenization, start of the command."""

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
from benchmarks.cases.plain import cached_logits
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
"""Length of the rows for the share of the peak."""
SQUARE = 2048
"""Side of the matrices whose product defines the peak."""
DEV_ROWS = 872


def encoder_step(length: int = TOKENS) -> Side:
    """Build a step of kd for the encoder, on rows of one length."""
    (table, labels), entry = rows(length=length), registry.get("method", "kd")
    assert entry.config is not None
    device = torch.device(SCALE.device)
    context = MethodContext(
        {"student": model(SCALE.encoder)}, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device
    )
    phase = Phase("train", (Turn("student"),), steps=1, batch_size=SCALE.batch)
    return in_loop(
        partial(entry.target, entry.config(), context),
        phase,
        BatchLoader({"student": table}, labels, device, cached_logits()),
        4,
    )


def counted_flops(length: int = TOKENS, count: int | None = None) -> int:
    """Count the floating-point operations of the encoder step, forward and backward, without the optimizer.

    Args:
        length: tokens per row.
        count: rows; those of a batch by default.

    Attention is counted in eager mode, because the counter does not see fused attention on a CPU.
    """
    count = count or SCALE.batch
    table, _ = rows(count, length)
    student = model(SCALE.encoder, attention="eager").requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        student(**on_device(table.batch(np.arange(count)))).logits.sum().backward()
    return counter.get_total_flops()


def products() -> Side:
    """Build products of square matrices with as many operations as a step of the encoder: the machine's peak."""
    dtype = torch.bfloat16 if SCALE.precision == "bf16" else torch.float32
    a, b = (torch.randn(SQUARE, SQUARE, dtype=dtype, device=SCALE.device) for _ in range(2))
    per_step = counted_flops() / (2 * SQUARE**3)
    due = 0.0

    def run(steps: int) -> None:
        nonlocal due
        due += steps * per_step
        while due >= 1:
            torch.mm(a, b)
            due -= 1

    return Side(run, steps=4)


def evaluation(side: str) -> Side:
    """Build a pass over as many rows as SST-2's dev split has, by the evaluator or by bare forward passes."""
    table, labels = rows(DEV_ROWS)
    classifier, arithmetic = model(SCALE.large), accelerator()
    evaluator = Evaluator(TASK, {"dev": labels}, Predictor(arithmetic, 256))

    def ours(steps: int) -> None:
        for _ in range(steps):
            evaluator.score({"dev": evaluator.predictor.logits(classifier, table, TASK.num_outputs)})

    batches = [on_device(table.batch(chosen)) for chosen in longest_first_batches(table.lengths, 256)]

    def bare_passes(steps: int) -> None:
        for _ in range(steps):
            with torch.inference_mode(), arithmetic.autocast():
                for batch in batches:
                    classifier(**batch)

    return Side(ours if side == "kdrun" else bare_passes, steps=1)


def tokenization(is_cached: bool, side: str) -> Side:
    """Tokenize all texts: by kdrun (new, or from its cache), or by a padded `datasets.map`."""
    tokenizer, corpus = word_pieces(), texts(SCALE.texts)
    table = pa.table({"text": pa.array(corpus), "label": pa.array(np.zeros(len(corpus), np.int32))})
    counter = itertools.count()

    def split() -> Split:
        # a new fingerprint each time, so that nothing is cached
        content = "known" if is_cached else f"{os.getpid()} {next(counter)}"
        return Split("train", table, "made-up texts", content)

    def ours(steps: int) -> None:
        for _ in range(steps):
            tokenize(split(), tokenizer, SCALE.max_length)

    def with_datasets(steps: int) -> None:
        import datasets

        def encode(batch: dict[str, Any]) -> Any:
            return tokenizer(batch["text"], padding="max_length", truncation=True, max_length=SCALE.max_length)

        datasets.disable_progress_bars()
        for _ in range(steps):
            with tempfile.TemporaryDirectory() as folder:
                dataset = datasets.Dataset.from_dict({"text": corpus})
                dataset.map(encode, batched=True, cache_file_name=str(Path(folder) / "tokens.arrow"))

    return Side(ours if side == "kdrun" else with_datasets, steps=1)


def start(side: str) -> Side:
    """Run the command's help, or import the libraries that a run needs."""
    code = "from kdrun.cli.main import main; main()" if side == "kdrun" else "import torch, transformers, datasets"
    command = [sys.executable, "-c", code, "--help"]

    def run(steps: int) -> None:
        for _ in range(steps):
            subprocess.run(command, capture_output=True, check=True, env=os.environ)

    return Side(run, steps=1)


CASES = [
    Case(
        "kd step of the encoder (share)",
        "its FLOPs at the matrix peak",
        lambda side: encoder_step() if side == "kdrun" else products(),
        "≥ 0.5x",
    ),
    Case("evaluation, 872 rows", "bare forward passes", evaluation, "≥ 0.91x"),
    Case("tokenization, 67 349 rows", "datasets.map, padded", partial(tokenization, False), "≤ 5 s"),
    Case("tokenization, cached", "datasets.map, padded", partial(tokenization, True), "≤ 0.5 s"),
    Case("kdrun --help", "importing torch, transformers, datasets", start, "≤ 0.5 s"),
]
