"""Measure the padding of kdrun's batches, and what attention without padding would save or cost.

    .venv/bin/python -m benchmarks.padding --glue GLUE_FOLDER --tokenizer MODEL_FOLDER --tasks sst2 mnli
    .venv/bin/python -m benchmarks.padding … --into docs/results/performance.md

Shares of padding are those of the tokens that a model computes in an epoch of training, in batches of 32 rows in random
order, in kdrun's batches of similar lengths, and in an evaluation. Then a BERT (4 layers × 256) takes the same
batches, forward and backward, padded and packed. Packed, all rows of a batch are one long row for every layer, and
attention stays within the rows through PyTorch's jagged tensors, whose kernels are those of variable lengths on a GPU.
Outputs and gradients of both are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AutoTokenizer, BertConfig, BertModel

from benchmarks.blocks import put, table
from benchmarks.cases.base import sizes
from benchmarks.machine import title
from kdrun.config import compose
from kdrun.data import run_data
from kdrun.data.samplers import bucketed_batches, longest_first_batches
from kdrun.data.tokenization import TokenizedSplit, tokenize

BATCH, EVALUATION_BATCH, MAX_LENGTH = 32, 256, 128
ROUNDS, BATCHES = 5, 12
PACKED = "packed_benchmark"
"""Name of the packed attention in transformers."""
OFFSETS: list[Tensor] = []
"""Where the rows of the current packed batch begin, and its end."""


def packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention within each row of a packed batch; arguments are [1, heads, tokens of all rows, d]."""
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(part[0].transpose(0, 1).contiguous(), OFFSETS[0]).transpose(1, 2)
        for part in (query, key, value)
    )
    output = scaled_dot_product_attention(q, k, v)
    return output.transpose(1, 2).contiguous().values()[None], None


def padding_share(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Share of padding among the tokens of batches that are padded to their longest row."""
    computed = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    return 1 - sum(int(lengths[rows].sum()) for rows in batches) / computed


def shares(lengths: np.ndarray) -> list[float]:
    """Shares of padding in random order, in kdrun's training, and in an evaluation of the same rows."""
    order = np.random.default_rng(0).permutation(len(lengths))
    at_random = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    bucketed = bucketed_batches(lengths, BATCH, 0, 0)
    return [
        padding_share(lengths, batches)
        for batches in (at_random, bucketed, longest_first_batches(lengths, EVALUATION_BATCH))
    ]


def packed(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch as one row without padding; `OFFSETS` gets the beginnings of its rows."""
    mask = batch["attention_mask"].bool()
    lengths = mask.sum(dim=1)
    OFFSETS[:] = [torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(dim=0)])]
    positions = torch.arange(mask.shape[1]).expand_as(mask)
    columns = {name: values for name, values in batch.items() if name != "attention_mask"} | {"position_ids": positions}
    return {name: values[mask][None] for name, values in columns.items()}


def models(vocab: int) -> tuple[BertModel, BertModel]:
    """The same BERT with fused attention and with packed attention, without dropout."""
    AttentionInterface.register(PACKED, packed_attention)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocab,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **sizes(4, 256, 4),  # type: ignore[arg-type]
    )
    padded_model = BertModel._from_config(deepcopy(config), attn_implementation="sdpa")
    packed_model = BertModel._from_config(deepcopy(config), attn_implementation=PACKED)
    packed_model.load_state_dict(padded_model.state_dict())
    return padded_model.train(), packed_model.train()


def step(model: BertModel, inputs: dict[str, Tensor], mask: Tensor | None) -> Tensor:
    """Forward and backward pass; returns the states of all tokens that are no padding."""
    model.zero_grad()
    states = model(**inputs).last_hidden_state
    states = states[0] if mask is None else states[mask]
    states.square().mean().backward()
    return states.detach()


def compare(tokens: TokenizedSplit, vocab: int) -> tuple[float, float, float]:
    """Time of padded steps over that of packed ones, and largest differences of states and of gradients (relative)."""
    padded_model, packed_model = models(vocab)
    chosen = bucketed_batches(tokens.lengths, BATCH, 0, 0)[:BATCHES]
    ratios, states, gradients = [], 0.0, 0.0
    for turn in range(ROUNDS + 1):
        seconds = [0.0, 0.0]
        for rows in chosen:
            batch = tokens.batch(rows)
            mask = batch["attention_mask"].bool()
            started = time.perf_counter()
            padded_states = step(padded_model, batch, mask)
            between = time.perf_counter()
            packed_states = step(packed_model, packed(batch), None)
            seconds[0] += between - started
            seconds[1] += time.perf_counter() - between
            if turn == 0:
                states = max(states, float((packed_states - padded_states).abs().max()))
                gradients = max(gradients, gradient_difference(packed_model, padded_model))
        if turn:
            ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios), states, gradients


def gradient_difference(one: nn.Module, other: nn.Module) -> float:
    """Norm of the difference of the gradients, relative to the second norm."""
    a, b = (torch.cat([p.grad.flatten() for p in m.parameters() if p.grad is not None]) for m in (one, other))
    return float((a - b).norm() / b.norm())


def main() -> None:
    """Measure every task and print the table."""
    parser = argparse.ArgumentParser(description="padding of batches, and attention without it")
    parser.add_argument("--glue", required=True, help="a folder with GLUE's files")
    parser.add_argument("--tokenizer", required=True, help="a folder with a tokenizer")
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mnli"])
    parser.add_argument("--into", type=Path, help="a document with a block named padding")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    rows = []
    for task in args.tasks:
        config = compose.load_config(["method=finetune", f"task={task}", "preset=mini", f"data.dir={args.glue}"])
        tokens = tokenize(run_data.load_run_data(config).splits["train"], tokenizer, MAX_LENGTH)
        ratio, states, gradients = compare(tokens, len(tokenizer))
        cells = [f"{100 * share:.1f} %" for share in shares(tokens.lengths)]
        mean = f"{tokens.lengths.mean():.1f}"
        rows.append([task, mean, *cells, f"{ratio:.2f}x", f"{states:.0e}, {gradients:.0e}"])
        print(rows[-1], flush=True)
    columns = ["task", "tokens per row", "padding, random order", "kdrun's training", "evaluation"]
    columns += ["speed of packed by padded", "differences"]
    text = f"{title()}, {ROUNDS} rounds\n\n{table(columns, rows)}"
    print(text)
    if args.into:
        put(args.into, "padding", text)


if __name__ == "__main__":
    main()
