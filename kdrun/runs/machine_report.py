"""Report a run's machine and the time that it will take."""

from __future__ import annotations

import torch

from kdrun import progress, ranks, stage_times
from kdrun.config.precision import bf16_support
from kdrun.config.runtime import Precision
from kdrun.formatting import duration, num_bytes
from kdrun.runs import estimate
from kdrun.runs.context import PreparedRun
from kdrun.training import machine_speed, optim

GIGA = 1e9


def precision_facts(run: PreparedRun) -> list[tuple[str, str]]:
    """Why the machine's arithmetic fits the precision of a run, for the console; empty where it would fit another."""
    precision, support = run.config.runtime.precision, bf16_support(run.config.runtime.device)
    if (precision is Precision.bf16) != support.is_native:
        return []
    return [("precision", f"{precision.value}: {support.reason}")]


def gpu_facts(device: torch.device, optimizer: str, processes: int) -> list[tuple[str, str]]:
    """How a run uses its GPU, for the console; empty on a CPU.

    Args:
        device: of the run.
        optimizer: name of the student's optimizer.
        processes: of the run.
    """
    if device.type != "cuda":
        return []
    is_fused = optimizer in optim.FUSED
    is_delayed = is_fused and processes == 1
    parts = [
        "batches are copied from pinned memory without waiting",
        f"{optimizer} is {'fused' if is_fused else 'not fused'}",
        "PyTorch chooses the kernel of the fused attention",
        f"losses and gradients are checked {'one step later' if is_delayed else 'in each step, which waits for them'}",
    ]
    return [("on the GPU", "; ".join(parts))]


def warn_of_slow_bf16(run: PreparedRun) -> None:
    """Warn of bf16 on a machine that only emulates it, with the measured factor."""
    support = bf16_support(run.config.runtime.device)
    if run.config.runtime.precision is not Precision.bf16 or support.is_native or not ranks.is_first():
        return
    factor = machine_speed.bf16_factor(run.accelerator.device)
    run.console.warning(
        f"runtime.precision=bf16: {support.reason}; a matrix product takes {factor:.2g} times as long here as in fp32 "
        "(measured now). runtime.precision=auto chooses fp32"
    )


def print_machine_and_times(run: PreparedRun) -> None:
    """Print the rates of this machine and the estimated time of every phase, before any of it is spent."""
    speed = machine_speed.machine_speed(run.accelerator.device)
    run.console.key_values(
        "this machine",
        [
            ("matrix products, fp32", f"{speed.fp32 / GIGA:,.0f} GFLOP/s"),
            ("matrix products, bf16", f"{speed.bf16 / GIGA:,.0f} GFLOP/s ({speed.bf16 / speed.fp32:.2g}x)"),
            ("memory, copied", f"{num_bytes(speed.memory)}/s read and written"),
            ("disk of the cache", f"{num_bytes(speed.disk_write)}/s written, {num_bytes(speed.disk_read)}/s read"),
        ],
    )
    with progress.track("estimating the time of the run"):
        phases = estimate.estimate_phases(run)
    phases = [_preparation(), *phases]
    rows = [(phase.name, f"{duration(phase.seconds)}: {phase.detail}") for phase in phases]
    total = duration(sum(phase.seconds for phase in phases))
    note = "without files and report; with the load that this machine has now"
    if run.config.runtime.devices > 1:
        note += f"; in one process, not in {run.config.runtime.devices}"
    run.console.key_values("estimated time", [*rows, ("together", f"{total}, {note}")])


def _preparation() -> estimate.PhaseTime:
    """The time that this check has taken for what the run will do too: imports, rows, models, tokens."""
    seconds = {name: wall for name, (wall, _) in stage_times.in_order().items() if name in stage_times.PREPARATION}
    parts = ", ".join(f"{name} {duration(wall)}" for name, wall in seconds.items())
    return estimate.PhaseTime("preparation", sum(seconds.values()), f"as in this check ({parts})")
