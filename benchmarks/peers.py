"""Compare the KD step of TextBrewer and torchdistill with kdrun's.

    scripts/peers            sets up their environment on first use, then measures
    scripts/peers --json FILE
    scripts/peers --into docs/results/performance.md

All libraries have the same models, batch size and rows, in one run. A step is a batch from the library's loader, the
library's loss, backward pass, clipping and AdamW. TextBrewer and torchdistill load batches as in their GLUE examples:
rows in random order, padded to the longest row of the batch. TextBrewer is measured both with teacher forward passes
and with cached logits.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from benchmarks.blocks import put, table
from benchmarks.cases.base import SCALE, model, rows
from benchmarks.cases.plain import TEMPERATURE, ours
from benchmarks.machine import machine, title
from benchmarks.peer_training import collate, forever, torchdistill_box

STEPS = 24
"""Steps per round."""


class Rows(Dataset[Any]):
    """The rows of the benchmark, one at a time, with labels."""

    def __init__(self) -> None:
        self.table, self.labels = rows()

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, row: int) -> tuple[list[int], int]:
        return self.table.ids(row).tolist(), int(self.labels[row])


def textbrewer(is_cached: bool) -> Callable[[int], None]:
    """Build steps of TextBrewer: `train_on_batch` is the forward part, the rest follows its training loop."""
    from textbrewer import (  # pyright: ignore[reportMissingImports]
        BasicDistiller,
        DistillationConfig,
        TrainingConfig,
    )

    student = model(SCALE.small).requires_grad_(True)
    settings = DistillationConfig(
        temperature=TEMPERATURE, hard_label_weight=0.5, kd_loss_weight=0.5, is_caching_logits=is_cached
    )
    folder = tempfile.mkdtemp()
    training = TrainingConfig(device="cpu", output_dir=folder, log_dir=folder)

    def adapt(batch: Any, out: Any) -> dict[str, Any]:
        return {"logits": out.logits, "losses": out.loss}

    distiller = BasicDistiller(training, settings, model(SCALE.large), student, adapt, adapt)
    loader = DataLoader(Rows(), SCALE.batch, shuffle=True, collate_fn=partial(collate, pad_id=SCALE.pad_id))
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5)
    if is_cached:
        distiller.logits_cache = []
        for batch in loader:
            distiller.cache_logits(batch, {}, None)
        batches = forever(distiller.logits_cache)
    else:
        batches = forever(loader)

    def run(steps: int) -> None:
        with distiller:
            for batch in itertools.islice(batches, steps):
                loss, _ = distiller.train_on_batch(batch, {})
                loss.backward()
                torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

    return run


def torchdistill() -> Callable[[int], None]:
    """Build steps of torchdistill's box: its loader, forward process and post-forward process."""
    student = model(SCALE.small).requires_grad_(True)
    box = torchdistill_box(Rows(), (model(SCALE.large), student), SCALE.batch, 1e-5, TEMPERATURE, SCALE.pad_id)
    batches = forever(box.train_data_loader)

    def run(steps: int) -> None:
        for batch, targets, extra in itertools.islice(batches, steps):
            box.post_forward_process(loss=box.forward_process(batch, targets=targets, supp_dict=extra))

    return run


def main() -> None:
    """Measure all libraries in turn and print one table."""
    parser = argparse.ArgumentParser(description="the KD step of other libraries compared with kdrun's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    parser.add_argument("--into", type=Path, help="a document with a block named peers")
    args = parser.parse_args()
    sides = {
        "kdrun": ours("kd").run,
        f"TextBrewer {version('textbrewer')}": textbrewer(is_cached=False),
        f"TextBrewer {version('textbrewer')}, cached logits": textbrewer(is_cached=True),
        f"torchdistill {version('torchdistill')}": torchdistill(),
    }
    milliseconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds + 1):  # the first round warms up
        for name, run in sides.items():
            started = time.perf_counter()
            run(STEPS)
            milliseconds[name].append((time.perf_counter() - started) * 1000 / STEPS)
    kdrun_times = milliseconds["kdrun"][1:]
    columns, lines, figures = ["KD step of", "kdrun is faster by", "min … max", "ms"], [], []
    rich_table = Table(*columns, title=title())
    for name, times in milliseconds.items():
        ratios = [theirs / mine for mine, theirs in zip(kdrun_times, times[1:], strict=True)]
        figures.append({"name": name, "ms": statistics.median(times[1:]), "ratio": statistics.median(ratios)})
        figures[-1] |= {"low": min(ratios), "high": max(ratios)}
        figure = figures[-1]
        lines.append(
            [name, f"{figure['ratio']:.2f}x", f"{figure['low']:.2f} … {figure['high']:.2f}", f"{figure['ms']:.1f}"]
        )
        rich_table.add_row(*lines[-1])
    Console(width=120).print(rich_table)
    if args.into:
        text = table(columns[:-1], [line[:-1] for line in lines if line[0] != "kdrun"])
        put(args.into, "peers", f"{title()}, {args.rounds} rounds\n\n{text}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
