"""Fine-tuning and distillation compared with a plain training loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

from benchmarks.cases.base import SCALE, TASK, Case, Side, accelerator, in_loop, model, on_device, random_batches, rows
from benchmarks.reference_steps import padded
from kdrun import losses, registry
from kdrun.data.loader import BatchLoader
from kdrun.data.samplers import bucketed_batches
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn
from kdrun.models.compile import compile_layers

TEMPERATURE = 2.0


def cached_logits() -> np.ndarray:
    """Draw teacher logits, as the cache holds them."""
    return np.random.default_rng(1).normal(size=(SCALE.rows, 2)).astype(np.float32)


def ours(name: str, compiled: bool = False) -> Side:
    """Build a step of finetune or kd in kdrun's loop, with teacher logits from the cache."""
    (table, labels), entry = rows(), registry.get("method", name)
    assert entry.config is not None
    device = torch.device(SCALE.device)
    student = model(SCALE.small)
    if compiled:
        compile_layers([student])
    context = MethodContext({"student": student}, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device)
    loader = BatchLoader({"student": table}, labels, device, cached_logits() if name == "kd" else None)
    phase = Phase("train", (Turn("student"),), steps=1, batch_size=SCALE.batch)
    return in_loop(partial(entry.target, entry.config(), context), phase, loader, 24)


def plain_loop(name: str, is_padded: bool) -> Side:
    """Build the same losses in a plain loop.

    With padding to the maximum, the teacher runs in every step, as in common GLUE scripts. With kdrun's buckets, the
    loop also has the cached logits, so the difference is the engine alone.
    """
    (table, labels), student = rows(), model(SCALE.small).requires_grad_(True).train()
    teacher = model(SCALE.large) if is_padded and name == "kd" else None
    logits, arithmetic = torch.from_numpy(cached_logits()), accelerator()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5, fused=not is_padded)
    batches = random_batches(2) if is_padded else _buckets(table.lengths)

    def run(steps: int) -> None:
        for _ in range(steps):
            chosen = next(batches)
            inputs = table.batch(chosen)
            inputs = on_device(padded(inputs, SCALE.max_length, SCALE.pad_id) if is_padded else inputs)
            gold_labels = torch.from_numpy(labels[chosen]).to(SCALE.device)
            teacher_logits = logits[chosen].to(SCALE.device)
            with arithmetic.autocast():
                student_logits = student(**inputs).logits
                loss = cross_entropy(student_logits.float(), gold_labels)
                if name == "kd":
                    if teacher is not None:
                        with torch.no_grad():
                            teacher_logits = teacher(**inputs).logits
                    student_log_probs = (student_logits.float() / TEMPERATURE).log_softmax(dim=-1)
                    teacher_probs = (teacher_logits.float() / TEMPERATURE).softmax(dim=-1)
                    loss = (loss + TEMPERATURE**2 * kl_div(student_log_probs, teacher_probs, reduction="batchmean")) / 2
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()

    return Side(run, steps=4 if is_padded else 24)


def _buckets(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the batches of kdrun."""
    epoch = 0
    while True:
        yield from bucketed_batches(lengths, SCALE.batch, 0, epoch, "train")
        epoch += 1


def against_plain_loop(name: str, is_padded: bool) -> Case:
    """Compare a step with the plain loop's."""

    def make(side: str) -> Side:
        return ours(name) if side == "kdrun" else plain_loop(name, is_padded)

    reference = "plain loop, padded" if is_padded else "plain loop, same buckets"
    return Case(
        f"{name} step{' ' if is_padded else ' (engine)'}".strip(), reference, make, "≥ 4x" if is_padded else "≥ 1.0x"
    )


CASES = [
    *(against_plain_loop(name, is_padded) for is_padded in (True, False) for name in ("finetune", "kd")),
    Case("kd step, runtime.compile", "the same without", lambda side: ours("kd", compiled=side == "kdrun")),
]
