"""Measure how the cost of a kd step grows with rows, vocabulary, length and layers.

    .venv/bin/python -m benchmarks.growth
    .venv/bin/python -m benchmarks.growth --into docs/results/performance.md --plot docs/results/growth.svg

Each value is the time of the training loop with cached teacher logits and the benchmark's student. Each round measures
all values of an axis in turn, so that all values have the same noise. Reported are medians, as multiples of the first
value of the axis.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.blocks import put, table
from benchmarks.cases.base import SCALE, TASK, Side, in_loop, model, rows, sizes
from benchmarks.machine import machine
from kdrun import losses, registry
from kdrun.data.loader import BatchLoader
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn, steps_per_epoch

STEPS = 24
"""Steps per measurement, where the unit is a step."""


@dataclass(frozen=True)
class Axis:
    """One quantity that grows.

    Attributes:
        name: name of the quantity.
        values: values in increasing order.
        make: builds the steps to measure for a value.
        unit: unit of the time: an epoch or a step.
        expected: expected growth.
    """

    name: str
    values: tuple[int, ...]
    make: Callable[[int], Side]
    unit: str
    expected: str


def kd(
    count: int, steps: int, length: int | None = None, vocab: int | None = None, shape: dict[str, int] | None = None
) -> Side:
    """Build steps of kd on so many rows."""
    before = replace(SCALE)
    SCALE.vocab = vocab or SCALE.vocab
    (tokens, labels), student = rows(count, length), model(shape or SCALE.small)
    SCALE.vocab = before.vocab
    entry, device = registry.get("method", "kd"), torch.device(SCALE.device)
    assert entry.config is not None
    context = MethodContext({"student": student}, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device)
    teacher_logits = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    loader = BatchLoader({"student": tokens}, labels, device, teacher_logits)
    phase = Phase("train", (Turn("student"),), steps=1, batch_size=SCALE.batch)
    return in_loop(partial(entry.target, entry.config(), context), phase, loader, steps)


def epoch(count: int) -> Side:
    """Build one pass over so many rows."""
    return kd(count, steps_per_epoch(Phase("train", (Turn("student"),), batch_size=SCALE.batch), count))


AXES = [
    Axis("rows", (1000, 4000, 16000, 67000), epoch, "epoch", "in proportion"),
    Axis("length", (16, 32, 64, 128, 256), lambda n: kd(1024, STEPS, length=n), "step",
         "in proportion, plus the square in attention"),
    Axis("layers", (1, 2, 4, 8), lambda n: kd(1024, STEPS, shape=sizes(n, 128, 2)), "step",
         "in proportion, plus embeddings"),
    Axis("vocabulary", (4000, 30522, 120000), lambda n: kd(1024, STEPS, vocab=n), "step",
         "the optimizer passes over the embedding table"),
]  # fmt: skip


def measure(axis: Axis, rounds: int) -> list[list[float]]:
    """Return the seconds of each value in all rounds, after one warm-up round."""
    sides = [axis.make(value) for value in axis.values]
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for side, times in zip(sides, seconds, strict=True):
            started = time.perf_counter()
            side.run(side.steps)
            if turn:
                times.append((time.perf_counter() - started) / (1 if axis.unit == "epoch" else side.steps))
    return seconds


def plot(seconds: dict[str, list[list[float]]], place: Path) -> None:
    """Plot all axes side by side, as multiples of the first value, with a line for proportional growth."""
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter, NullLocator

    figure, panels = pyplot.subplots(1, len(AXES), figsize=(3.2 * len(AXES), 3), layout="constrained")
    for axis, panel in zip(AXES, panels, strict=True):
        medians = [statistics.median(times) for times in seconds[axis.name]]
        first = axis.values[0]
        panel.plot(axis.values, [value / first for value in axis.values], ":", color="0.6", label="in proportion")
        panel.plot(axis.values, [t / medians[0] for t in medians], "o-", label="measured")
        low, high = ([f(times) / medians[0] for times in seconds[axis.name]] for f in (min, max))
        panel.fill_between(axis.values, low, high, alpha=0.2)
        panel.set(xscale="log", yscale="log", xlabel=axis.name, title=f"time of one {axis.unit}")
        panel.set_xticks(axis.values, [f"{value:,}".replace(",", " ") for value in axis.values])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("multiple of the first")
    panels[0].legend(frameon=False)
    figure.savefig(place)


def markdown(seconds: dict[str, list[list[float]]]) -> str:
    """Format one table; a cell is the median as a multiple of the axis's first value."""
    rows = []
    for axis in AXES:
        medians = [statistics.median(times) for times in seconds[axis.name]]
        cells = [
            f"{value}: {value / axis.values[0]:.3g}x → {t / medians[0]:.2g}x"
            for value, t in zip(axis.values, medians, strict=True)
        ]
        rows.append([axis.name, axis.unit, "; ".join(cells[1:]), axis.expected])
    return table(["axis", "unit", "size → time, both as multiples of the first", "expected growth"], rows)


def main() -> None:
    """Measure every axis and print the table."""
    parser = argparse.ArgumentParser(description="growth of the cost of a kd step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", type=Path, help="a document with a block named growth")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    args = parser.parse_args()
    seconds = {axis.name: measure(axis, args.rounds) for axis in AXES}
    text = ", ".join(f"{k} {v}" for k, v in machine().items()) + f", {args.rounds} rounds\n\n" + markdown(seconds)
    print(text)
    if args.into:
        put(args.into, "growth", text)
    if args.plot:
        plot(seconds, args.plot)


if __name__ == "__main__":
    main()
