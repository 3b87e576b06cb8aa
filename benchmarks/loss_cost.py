"""Measure the share of a student's step that each distillation loss takes.

    .venv/bin/python -m benchmarks.loss_cost
    .venv/bin/python -m benchmarks.loss_cost --into docs/guides/losses.md    update the block `loss_cost` of the page

A step of the student is its forward and backward pass with `loss=kl` and the optimizer's update, on 32 texts of 64
tokens. The loss alone is its value and the gradient of the student's logits. Both are CPU times of this process, the
least of several rounds, so that other work on the machine has little effect.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.blocks import put, table
from kdrun import registry
from kdrun.formatting import percent

BATCH, LENGTH, VOCABULARY = 32, 64, 8000
SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "num_labels": 3,
}
SHAPES = {"3 classes": (BATCH, 3), "77 classes": (BATCH, 77), f"{BATCH} × 8 tokens of 32 128": (BATCH * 8, 32128)}


def cpu_ms(act: Callable[[], Any], rounds: int, repeats: int) -> float:
    """Least CPU time of a call in several rounds, in milliseconds."""
    act()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeats):
            act()
        times.append((time.process_time() - start) / repeats * 1000)
    return min(times)


def loss_ms(loss: Callable[..., Tensor], shape: tuple[int, int], rounds: int) -> float:
    """CPU time of a loss and its gradient."""
    student, teacher = torch.randn(shape).requires_grad_(), torch.randn(shape)
    return cpu_ms(
        lambda: torch.autograd.grad(loss(student, teacher, 2.0).sum(), student), rounds, 20 if shape[1] < 999 else 1
    )


def step_ms(rounds: int) -> float:
    """CPU time of a step of a student with 2 layers of width 128."""
    config = BertConfig(vocab_size=VOCABULARY, **SIZES)
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters())
    ids, teacher = torch.randint(1, VOCABULARY, (BATCH, LENGTH)), torch.randn(BATCH, 3)
    kl = registry.get("loss", "kl").target

    def step() -> None:
        optimizer.zero_grad()
        kl(model(input_ids=ids).logits, teacher, 2.0).mean().backward()
        optimizer.step()

    return cpu_ms(step, rounds, 1)


def main() -> None:
    """Measure every registered loss and print a table."""
    parser = argparse.ArgumentParser(description="share of a step that each loss takes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--into", type=Path, help="a document with a block named loss_cost")
    args = parser.parse_args()
    step, rows = step_ms(args.rounds), []
    vocabulary = list(SHAPES.values())[-1]
    kl = loss_ms(registry.get("loss", "kl").target, vocabulary, args.rounds)
    for name, entry in registry.entries("loss").items():
        few = [loss_ms(entry.target, shape, args.rounds) for shape in list(SHAPES.values())[:-1]]
        ratio = loss_ms(entry.target, vocabulary, args.rounds) / kl
        rows.append([f"`{name}`", *(percent(value / step) for value in few), f"{ratio:.1f}"])
    few_names, tokens = list(SHAPES)[:-1], list(SHAPES)[-1]
    header = ["loss", *(f"share of a step, {name}" for name in few_names), f"time by that of `kl`, {tokens}"]
    text = f"CPU times; a step takes {step:.0f} ms\n\n{table(header, rows)}"
    print(text)
    if args.into:
        put(args.into, "loss_cost", text)


if __name__ == "__main__":
    main()
