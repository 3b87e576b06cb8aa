"""Measure steps of kd and MATE-KD on RoBERTa-large and DistilRoBERTa, and their share of the matrix peak.

Weights are random, which costs as much as trained ones; rows are as long as SST-2's. kdrun and the textbook step run in
turns in one process, both in bf16. The share is that of kdrun's kd step with cached logits, in a large batch of rows of
one length: the operations of the model's matrix products, forward and backward, per second, of those of the fastest
product of two square matrices.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

from benchmarks.cases import adversarial, passes, plain
from benchmarks.cases.base import SCALE, Side, scale_to, sizes
from benchmarks.gpu.findings import Findings, Options, run_part
from kdrun.training import machine_speed

LEAST_RATIO, LEAST_SHARE = 8.0, 0.4
ROUNDS = 3
COUNTED_ROWS = 8
"""Rows of the batch whose operations are counted, in fp32 with eager attention, which takes much memory."""
PEAK_SIZES = (2048, 4096, 8192)
"""Sides of the matrices whose products give the peak."""
BATCHES = ((32, 64), (128, 64), (256, 128))
"""Rows and tokens per row of the measured batches; only the last one, which fills a GPU, has a target."""


@dataclass(frozen=True)
class Comparison:
    """Steps of kdrun and of the textbook; the target is for GPUs and models of full size."""

    name: str
    make: Callable[[str], Side]


COMPARISONS = (
    Comparison(
        "kd step: textbook ÷ kdrun",
        lambda side: plain.ours("kd") if side == "kdrun" else plain.plain_loop("kd", is_padded=True),
    ),
    Comparison(
        "mate_kd student turn: textbook ÷ kdrun",
        lambda side: (adversarial.ours if side == "kdrun" else adversarial.textbook)("mate_kd", "student"),
    ),
    Comparison(
        "mate_kd generator turn: textbook ÷ kdrun",
        lambda side: (adversarial.ours if side == "kdrun" else adversarial.textbook)("mate_kd", "generator"),
    ),
)


def measure(options: Options, findings: Findings) -> None:
    """Measure all comparisons and shares."""
    SCALE.device, SCALE.precision = options.device, "bf16"
    scale_to("small" if options.tiny else "roberta")
    if options.tiny:
        shape = sizes(1, 32, 2)
        SCALE.vocab, SCALE.batch, SCALE.rows, SCALE.large, SCALE.small, SCALE.encoder = 1200, 4, 64, shape, shape, shape
    bound = options.device == "cuda" and not options.tiny
    for comparison in COMPARISONS:
        attempt(comparison.name, findings, partial(compare, comparison, findings, bound))
    shares(findings, bound, BATCHES[:1] if options.tiny else BATCHES)


def attempt(name: str, findings: Findings, work: Callable[[], None]) -> None:
    """Measure something; an error, such as too little memory, is a finding, so that the others are still measured."""
    clean_up()
    try:
        work()
    except Exception as error:  # noqa: BLE001  reported as a finding
        findings.add(name, f"{type(error).__name__}: {str(error)[:300]}", "a measurement", ok=False)


def compare(comparison: Comparison, findings: Findings, bound: bool) -> None:
    """Measure both sides of a comparison in turns; the first round warms up."""
    sides = {name: comparison.make(name) for name in ("kdrun", "textbook")}
    milliseconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, side in sides.items():
            duration = 1000 * seconds(side, side.steps) / side.steps
            if turn:
                milliseconds[name].append(duration)
    ratios = [b / a for a, b in zip(*milliseconds.values(), strict=True)]
    ratio, ours, theirs = (statistics.median(v) for v in (ratios, *milliseconds.values()))
    value = f"{ratio:.3g} ({min(ratios):.3g} … {max(ratios):.3g}); {ours:.3g} and {theirs:.4g} ms"
    value += f"; {1000 * SCALE.batch / ours:.4g} examples/s"
    target = f"≥ {LEAST_RATIO:g}" if bound else ""
    findings.add(comparison.name, value, target, ratio >= LEAST_RATIO if bound else None)


def shares(findings: Findings, bound: bool, batches: tuple[tuple[int, int], ...]) -> None:
    """Measure the share of the peak of kd's step for a student like the teacher and for DistilRoBERTa."""
    peak = matrix_peak()
    findings.add("peak of bf16 matrix products", f"{peak / 1e12:.4g} TFLOP/s")
    for name, shape in (("large model", SCALE.large), ("student", SCALE.small)):
        for batch, length in batches:
            title = f"kd step of the {name}, {batch} rows of {length} tokens"
            SCALE.encoder, SCALE.batch, SCALE.rows = shape, batch, 4 * batch
            has_target = bound and (batch, length) == batches[-1]
            attempt(title, findings, partial(share, title, length, peak, findings, has_target))


def share(title: str, length: int, peak: float, findings: Findings, has_target: bool) -> None:
    """Measure the share of the peak of kd's step in the current scale."""
    operations = passes.counted_flops(length, COUNTED_ROWS) * SCALE.batch / COUNTED_ROWS
    clean_up()
    side = passes.encoder_step(length)
    seconds(side, side.steps)
    duration = min(seconds(side, side.steps) / side.steps for _ in range(ROUNDS))
    achieved = operations / duration / peak
    speed = f"{1000 * duration:.3g} ms, {SCALE.batch * length / duration:.3g} tokens/s"
    target = f"≥ {100 * LEAST_SHARE:g} %" if has_target else ""
    findings.add(
        title, f"{100 * achieved:.3g} % of the peak; {speed}", target, achieved >= LEAST_SHARE if has_target else None
    )


def matrix_peak() -> float:
    """Operations per second of the fastest square product in bf16."""
    device = torch.device(SCALE.device)
    sizes_tried = PEAK_SIZES if device.type == "cuda" else PEAK_SIZES[:1]
    return max(machine_speed.square_rate(size, torch.bfloat16, device) for size in sizes_tried)


def seconds(side: Side, steps: int) -> float:
    """Wall time of some steps, with all work of the GPU that they start."""
    wait()
    started = time.perf_counter()
    side.run(steps)
    wait()
    return time.perf_counter() - started


def wait() -> None:
    """Wait for pending work of the GPU."""
    if SCALE.device == "cuda":
        torch.cuda.synchronize()


def clean_up() -> None:
    """Free the models of the measurement before, and the state of its Accelerator."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    gc.collect()
    if SCALE.device == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    run_part(__doc__ or "", measure)
