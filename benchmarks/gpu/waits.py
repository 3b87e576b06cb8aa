"""List the places where a training step waits for the GPU.

A step without such places queues its kernels ahead of the GPU. torch reports each wait that it knows
(torch.cuda.set_sync_debug_mode), and the profiler counts the calls of CUDA that wait, and copies from memory that is
not pinned. On a CPU, the rehearsal takes the steps of a GPU, and lists the operations that would wait: those that read
a value of a tensor, or whose shape depends on one. It lists those on tensors that a GPU run keeps on the CPU, too.
"""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.cases import adversarial, plain
from benchmarks.cases.base import SCALE, Side, scale_to, sizes
from benchmarks.gpu.findings import Findings, Options, run_part
from kdrun.data import transfer

ROOT = Path(__file__).resolve().parents[2]
STEPS = 8
CASES = {
    "kd": lambda: plain.ours("kd"),
    "finetune": lambda: plain.ours("finetune"),
    "mate_kd, student": lambda: adversarial.ours("mate_kd", "student"),
    "mate_kd, generator": lambda: adversarial.ours("mate_kd", "generator"),
    "zskd, student": lambda: adversarial.ours("zskd", "student"),
    "zskd, generator": lambda: adversarial.ours("zskd", "generator"),
}
WITHOUT_WAITS = frozenset({"kd", "finetune"})
"""Steps that must not wait. Those of a generator choose the masked positions, whose number decides shapes."""
WAITING_OPERATIONS = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "equal",
    "is_nonzero",
)
CUDA_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMemcpy")


class WaitingOperations(TorchDispatchMode):
    """Counts, by place, operations that would wait for a GPU."""

    def __init__(self, places: Counter[str]) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation, and count it if it would wait."""
        name = func._schema.name.partition("::")[2]
        is_masked = name in ("index", "index_put_") and any(_is_mask(index) for index in args[1])
        if name in WAITING_OPERATIONS or is_masked:
            self.places[place(name)] += 1
        return func(*args, **(kwargs or {}))


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def place(what: str) -> str:
    """The innermost line of kdrun that is running, or else of another package, and what happens there."""
    frames = [frame for frame in traceback.extract_stack() if frame.filename != __file__]
    for frame in reversed(frames):
        if "/transformers/" in frame.filename:
            return f"transformers/{frame.filename.rpartition('/transformers/')[2]}:{frame.lineno} {what}"
        if frame.filename.startswith(f"{ROOT}/kdrun/"):
            return f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno} {what}"
    return what


@contextmanager
def counted_waits(device: str) -> Iterator[Counter[str]]:
    """Count the waits inside the context by place."""
    places: Counter[str] = Counter()
    if device == "cpu":
        with WaitingOperations(places):
            yield places
        return

    def count(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if "synchronizing CUDA operation" in str(message):
            places[place("waits")] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = count
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")


def profiled_waits(side: Side) -> Counter[str]:
    """Calls of CUDA that wait, and copies from memory that is not pinned, in the profile of some steps."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        side.run(STEPS)
    events = {event.key: event.count for event in profiler.key_averages()}
    # the end of the profile waits once
    waits = Counter({name: events.get(name, 0) for name in CUDA_WAITS})
    return waits + Counter({name: count for name, count in events.items() if "Pageable -> Device" in name})


def check(options: Options, findings: Findings) -> None:
    """Count the waits of every case, after two steps that prepare it."""
    SCALE.device, SCALE.precision = options.device, "bf16"
    scale_to("small" if options.tiny or options.device == "cpu" else "roberta")
    if options.tiny:
        shape = sizes(1, 32, 2)
        SCALE.vocab, SCALE.batch, SCALE.rows, SCALE.large, SCALE.small = 1200, 4, 64, shape, shape
    else:
        SCALE.large = SCALE.small  # the number of layers changes no place
    if options.device == "cpu":
        transfer.reads_wait = lambda device: True
    for name, make in CASES.items():
        side = make()
        side.run(2)
        with counted_waits(options.device) as places:
            side.run(STEPS)
        report(name, places, findings, is_bound=options.device == "cuda" and name in WITHOUT_WAITS)
        if options.device == "cuda":
            calls = profiled_waits(side)
            value = ", ".join(f"{key}: {count / STEPS:.3g} per step" for key, count in calls.items()) or "none"
            findings.add(f"{name}: calls of CUDA that wait, in a profile of {STEPS} steps", value)


def report(name: str, places: Counter[str], findings: Findings, is_bound: bool) -> None:
    """Add the waits of a case; a place that waits in fewer than half of the steps is not part of every step."""
    per_step = {where: count / STEPS for where, count in places.most_common()}
    steady = [where for where, rate in per_step.items() if rate >= 0.5]
    value = "; ".join(f"{where}: {rate:.3g}" for where, rate in per_step.items()) or "none"
    target = "none in every step" if is_bound else ""
    findings.add(f"{name}: waits per step", value, target, not steady if is_bound else None)


if __name__ == "__main__":
    run_part(__doc__ or "", check)
