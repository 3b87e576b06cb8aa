"""How the cost of a kd step grows: with rows, vocabulary, length and layers, each alone, all in one run.

    .venv/bin/python -m benchmarks.growth
    .venv/bin/python -m benchmarks.growth --into docs/results/performance.md --plot docs/results/growth.svg

Each value is measured as time of the training loop, teacher logits kept, at the benchmark's student; rounds go through
all values of an axis in turn, so that each meets the same noise. Given are medians, as multiples of the axis's first.
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
"""Steps of a value, where what is measured is a step."""


@dataclass(frozen=True)
class Axis:
    """One thing that grows.

    Attributes:
        name: what it is.
        values: in rising order.
        make: what is measured for a value.
        unit: what of it: an epoch or a step.
        expected: how it should grow.
    """

    name: str
    values: tuple[int, ...]
    make: Callable[[int], Side]
    unit: str
    expected: str


def kd(
    count: int, steps: int, length: int | None = None, vocab: int | None = None, shape: dict[str, int] | None = None
) -> Side:
    """Steps of kd on so many rows."""
    before = replace(SCALE)
    SCALE.vocab = vocab or SCALE.vocab
    (found, labels), student = rows(count, length), model(shape or SCALE.small)
    SCALE.vocab = before.vocab
    entry, device = registry.get("method", "kd"), torch.device(SCALE.device)
    assert entry.config is not None
    parts = MethodContext({"student": student}, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device)
    taught = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    feed = BatchLoader({"student": found}, labels, device, taught)
    phase = Phase("train", (Turn("student"),), steps=1, batch_size=SCALE.batch)
    return in_loop(partial(entry.target, entry.config(), parts), phase, feed, steps)


def epoch(count: int) -> Side:
    """One pass over so many rows."""
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
    """Seconds per value, of all rounds; a round before them warms up."""
    sides = [axis.make(value) for value in axis.values]
    took: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for side, times in zip(sides, took, strict=True):
            started = time.perf_counter()
            side.run(side.steps)
            if turn:
                times.append((time.perf_counter() - started) / (1 if axis.unit == "epoch" else side.steps))
    return took


def plot(found: dict[str, list[list[float]]], place: Path) -> None:
    """All axes side by side, as multiples of the first value, beside the line of proportion."""
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter, NullLocator

    figure, panels = pyplot.subplots(1, len(AXES), figsize=(3.2 * len(AXES), 3), layout="constrained")
    for axis, panel in zip(AXES, panels, strict=True):
        middle = [statistics.median(times) for times in found[axis.name]]
        first = axis.values[0]
        panel.plot(axis.values, [value / first for value in axis.values], ":", color="0.6", label="in proportion")
        panel.plot(axis.values, [t / middle[0] for t in middle], "o-", label="measured")
        low, high = ([f(times) / middle[0] for times in found[axis.name]] for f in (min, max))
        panel.fill_between(axis.values, low, high, alpha=0.2)
        panel.set(xscale="log", yscale="log", xlabel=axis.name, title=f"time of one {axis.unit}")
        panel.set_xticks(axis.values, [f"{value:,}".replace(",", " ") for value in axis.values])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())
    panels[0].set_ylabel("multiple of the first")
    panels[0].legend(frameon=False)
    figure.savefig(place)


def markdown(found: dict[str, list[list[float]]]) -> str:
    """One table; a cell is the median as a multiple of the axis's first value, and how often its size that is."""
    lines = []
    for axis in AXES:
        middle = [statistics.median(times) for times in found[axis.name]]
        cells = [
            f"{value}: {value / axis.values[0]:.3g}x → {t / middle[0]:.2g}x"
            for value, t in zip(axis.values, middle, strict=True)
        ]
        lines.append([axis.name, axis.unit, "; ".join(cells[1:]), axis.expected])
    return table(["of one more", "measured", "size → time, both as multiples of the first", "expected"], lines)


def main() -> None:
    """Measure every axis, print the table."""
    parser = argparse.ArgumentParser(description="how the cost of a kd step grows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", type=Path, help="a document with a block named growth")
    parser.add_argument("--plot", type=Path, help="an SVG file")
    asked = parser.parse_args()
    found = {axis.name: measure(axis, asked.rounds) for axis in AXES}
    text = ", ".join(f"{k} {v}" for k, v in machine().items()) + f", {asked.rounds} rounds\n\n" + markdown(found)
    print(text)
    if asked.into:
        put(asked.into, "growth", text)
    if asked.plot:
        plot(found, asked.plot)


if __name__ == "__main__":
    main()
