"""Measure the error of a teacher's most likely tokens (teacher.top_k) against all of its logits.

    .venv/bin/python -m benchmarks.top_k method=kd task=conll2003 preset=mini_writer data.dir=DIR teacher.path=T5_DIR

The overrides are those of a run whose task is answered with text. Its teacher is fine-tuned, or read from the cache;
its student is untrained. Both read the same answers of the training rows. The loss is KL(teacher ‖ student) per token.
The gradient is that of the student's logits; its error is the norm of the difference over the norm of the full one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.blocks import put, table
from kdrun import losses
from kdrun.config import compose
from kdrun.console import QuietConsole
from kdrun.formatting import percent
from kdrun.runs import build, runner, teacher_stage
from kdrun.training.teacher.top_logits import TopLogitsShape, most_likely, spread

SIZES = (8, 16, 64, 256)
TEMPERATURES = (1.0, 2.0)


@dataclass
class Errors:
    """Sums over tokens, by temperature: loss, its error, squared norms of the gradient and of its error."""

    loss: float = 0.0
    error: float = 0.0
    gradient: float = 0.0
    gradient_error: float = 0.0


@dataclass
class Measurement:
    """Sums over tokens for one k."""

    rest: float = 0.0
    errors: dict[float, Errors] = field(default_factory=lambda: {t: Errors() for t in TEMPERATURES})


def add_batch(sums: Measurement, student: Tensor, teacher: Tensor, k: int) -> None:
    """Add the tokens of a batch.

    Args:
        sums: for this k.
        student: logits [tokens, vocabulary].
        teacher: all logits, [tokens, vocabulary].
        k: tokens that are kept.
    """
    ids, log_probs = most_likely(teacher, k)
    kept = spread(ids, log_probs.half().float(), teacher.shape[1])
    sums.rest += float(log_probs[:, -1].exp().sum())
    for temperature, errors in sums.errors.items():
        full = losses.kl_divergence(student, teacher, temperature)
        errors.loss += float(full.sum())
        errors.error += float(losses.kl_divergence(student, kept, temperature).sum() - full.sum())
        p, q, r = ((logits / temperature).softmax(-1) for logits in (teacher, student, kept))
        errors.gradient += float((q - p).square().sum())
        errors.gradient_error += float((r - p).square().sum())


def measure(overrides: list[str], num_rows: int) -> tuple[int, int, dict[int, Measurement]]:
    """Return the number of tokens, the size of the vocabulary and the sums by k."""
    run: Any = runner.prepare(compose.load_config(overrides), QuietConsole(), "", None)
    teacher = teacher_stage.prepare_teacher(run)
    assert teacher.bundle is not None
    run = run.with_teacher(teacher.bundle)
    loader = build.make_loader(run, build.make_method(run, teacher))
    student = run.roles["student"].model.eval()
    sums, count, width = {k: Measurement() for k in SIZES}, 0, 0
    with torch.no_grad():
        for start in range(0, min(num_rows, loader.num_rows), 16):
            batch = loader.load_batch(np.arange(start, min(start + 16, loader.num_rows)), "train", 0)
            assert batch.teacher_logits is not None
            present = ~batch.teacher_logits[..., 0].isnan()
            logits = student(**batch.inputs["student"]).logits[present].float()
            count, width = count + int(present.sum()), logits.shape[1]
            for k in SIZES:
                add_batch(sums[k], logits, batch.teacher_logits[present].float(), k)
    return count, width, sums


def main() -> None:
    """Measure the errors and print one table."""
    parser = argparse.ArgumentParser(description="error of a teacher's most likely tokens")
    parser.add_argument("overrides", nargs="+", help="of a run")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--into", type=Path, help="a document with a block named top_k")
    args = parser.parse_args()
    count, width, sums = measure(args.overrides, args.rows)
    rows = []
    for k, total in sums.items():
        row = [str(k), f"{TopLogitsShape(1, k, width).num_bytes}", percent(total.rest / count)]
        for errors in total.errors.values():
            row += [f"{errors.loss / count:.4f}", f"{errors.error / count:+.5f}"]
            row += [f"{(errors.gradient_error / errors.gradient) ** 0.5:.5f}"]
        rows.append(row)
    header = ["k", "bytes per token", "rest of the probability"]
    header += [f"{name}, T = {t:g}" for t in TEMPERATURES for name in ("loss", "error of the loss", "of the gradient")]
    text = f"{count} tokens of answers, vocabulary of {width}: {4 * width} bytes per token\n\n{table(header, rows)}"
    print(text)
    if args.into:
        put(args.into, "top_k", text)


if __name__ == "__main__":
    main()
