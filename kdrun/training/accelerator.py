"""Create the Accelerator: device, precision, threads, determinism."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from kdrun import processor, ranks
from kdrun.config.runtime import Device, Precision, Tracker
from kdrun.config.schema import RunConfig
from kdrun.config.validation.machine import MPI_SIZES
from kdrun.errors import ConfigError
from kdrun.models import compile
from kdrun.training import metric_loggers


def make_accelerator(config: RunConfig, run_dir: Path | None) -> Accelerator:
    """Create the Accelerator; first reset its global state, which jobs of a sweep share.

    Raises:
        ConfigError: `runtime.device=cuda` without a GPU, or no compiler for `runtime.compile`.
    """
    runtime, tracker = config.runtime, config.tracker
    check_device(runtime.device, "runtime.device")
    set_threads(runtime.threads)
    if runtime.deterministic:  # cuBLAS reads it at its start; deterministic mode needs it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(runtime.deterministic)
    accelerator = new_accelerator(
        runtime.device,
        runtime.precision,
        log_with=None if tracker is Tracker.none else tracker.value,
        project_dir=metric_loggers.log_dir(config, run_dir),
    )
    if runtime.compile:
        compile.check_compiler(accelerator.device)
    return accelerator


def set_threads(threads: int | None) -> None:
    """Set the CPU threads of this process.

    Args:
        threads: their number; None for torch's default, at most the cores that the process may use, unless
            `OMP_NUM_THREADS` names a number. More threads than cores wait for each other.
    """
    current = torch.get_num_threads()
    if threads is None:
        threads = current if "OMP_NUM_THREADS" in os.environ else min(current, processor.usable_cores())
    if threads != current:
        torch.set_num_threads(threads)


def check_device(device: Device, key: str) -> None:
    """Check that a device exists.

    Args:
        device: the device.
        key: its config key.

    Raises:
        ConfigError: `cuda` without a GPU.
    """
    if device is Device.cuda and not torch.cuda.is_available():
        raise ConfigError([f"{key}=cuda, but torch finds no GPU; use {key}=auto or cpu"])


def new_accelerator(device: Device, precision: Precision, **options: Any) -> Accelerator:
    """Create an Accelerator after resetting its state, which is global.

    Args:
        device: device to run on.
        precision: arithmetic of the models, `fp32` or `bf16`.
        **options: further arguments of the Accelerator.
    """
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    assert precision is not Precision.auto, "a composed config names the precision"
    mixed_precision = "bf16" if precision is Precision.bf16 else "no"
    for name in () if ranks.started_as()[1] > 1 else MPI_SIZES:
        os.environ.pop(name, None)  # Accelerate would look for the other processes, which run other cells of a sweep
    return Accelerator(cpu=device is Device.cpu, mixed_precision=mixed_precision, **options)
