"""Time models side by side: in turns, on the same rows."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kdrun import progress
from kdrun.data.tokenization import TokenizedSplit
from kdrun.formatting import plural

Run = Callable[[Mapping[str, Tensor]], object]
"""Runs a model on a batch as from `TokenizedSplit.batch`."""
BATCH_SIZE = 32
NUM_BATCHES = 8
"""Batches whose rows give the throughput."""
MAX_ROWS, MIN_ROWS = 100, 10
"""Rows whose latencies are measured; fewer for models that would need longer than `SECONDS`."""
SECONDS = 10.0
"""Time that the latencies of one model take, about."""
ROUNDS = 5
WARM_UP = 3


@dataclass(frozen=True)
class Timing:
    """Times of one model.

    Attributes:
        latencies: seconds per batch of one row, [rounds · rows].
        rows_per_s: rows per second in batches of 32; median of the rounds.
    """

    latencies: np.ndarray
    rows_per_s: float

    def percentile_ms(self, share: float) -> float:
        """A percentile of the latencies in milliseconds."""
        return round(1000 * float(np.percentile(self.latencies, share)), 3)


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of the numbers 0 … count − 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def time_models(
    models: Mapping[str, tuple[Run, TokenizedSplit]], order: np.ndarray, rounds: int = ROUNDS
) -> tuple[dict[str, Timing], int]:
    """Time models in turns: in every round each model runs the same rows, and another one begins.

    Inputs are tokenized and padded before the clock starts.

    Args:
        models: name → function, and the rows in its tokens; the same rows for all.
        order: row numbers by length.
        rounds: number of rounds.

    Returns:
        Times by name, and the number of rows of the latencies.
    """
    names = list(models)
    slowest = max(_warm_up(*models[name], order) for name in names)
    most = int(np.clip(SECONDS / (rounds * max(slowest, 1e-9)), MIN_ROWS, MAX_ROWS))
    single = order[spread(len(order), most)]
    batched = order[spread(len(order), BATCH_SIZE * NUM_BATCHES)]
    groups = np.array_split(batched, -(-len(batched) // BATCH_SIZE))
    latencies: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    with progress.track(f"timing {plural(len(names), 'model')}", rounds * len(names), "turns") as activity:
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                run, tokens = models[name]
                latencies[name] += _seconds(run, [tokens.batch(row[None]) for row in single])
                rates[name].append(len(batched) / sum(_seconds(run, [tokens.batch(rows) for rows in groups])))
                activity.advance(1)
    timings = {name: Timing(np.array(latencies[name]), float(np.median(rates[name]))) for name in names}
    return timings, len(single)


def _warm_up(run: Run, tokens: TokenizedSplit, order: np.ndarray) -> float:
    """Run a model a few times on short, middle and long rows; returns the median seconds of a single row."""
    ends = [order[:1], order[len(order) // 2 : len(order) // 2 + 1], order[-1:]]
    _seconds(run, [tokens.batch(order[-BATCH_SIZE:])])
    return float(np.median(_seconds(run, [tokens.batch(rows) for rows in ends * WARM_UP])))


def _seconds(run: Run, batches: Sequence[Mapping[str, Tensor]]) -> list[float]:
    """Seconds of each batch, without pauses of the garbage collector."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        times = []
        for batch in batches:
            start = time.perf_counter()
            run(batch)
            times.append(time.perf_counter() - start)
        return times
    finally:
        if was_enabled:
            gc.enable()
