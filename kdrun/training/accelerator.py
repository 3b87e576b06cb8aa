"""Create the Accelerator: device, precision, threads, determinism."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from kdrun.config.runtime import Device, Precision, Tracker
from kdrun.config.schema import RunConfig
from kdrun.errors import ConfigError
from kdrun.models import compile
from kdrun.training import metric_loggers


def make_accelerator(config: RunConfig, run_dir: Path | None) -> Accelerator:
    """Create the Accelerator; first reset its global state, which jobs of a sweep share.

    Raises:
        ConfigError: `runtime.device=cuda` without a GPU, or no compiler for `runtime.compile`.
    """
    runtime, tracker = config.runtime, config.tracker
    if runtime.device is Device.cuda and not torch.cuda.is_available():
        raise ConfigError(["runtime.device=cuda, but torch finds no GPU; use runtime.device=auto or cpu"])
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    if runtime.deterministic:  # cuBLAS reads it at its start; deterministic mode needs it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(runtime.deterministic)
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    precision = "bf16" if runtime.precision is Precision.bf16 else "no"
    accelerator = Accelerator(
        cpu=runtime.device is Device.cpu,
        mixed_precision=precision,
        log_with=None if tracker is Tracker.none else tracker.value,
        project_dir=metric_loggers.log_dir(config, run_dir),
    )
    if runtime.compile:
        compile.check_compiler(accelerator.device)
    return accelerator
