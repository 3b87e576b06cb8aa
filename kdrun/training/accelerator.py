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


def make_accelerator(config: RunConfig, run_folder: Path | None) -> Accelerator:
    """Device, arithmetic and tracker; jobs of a sweep share a process, so the last job's state is dropped first."""
    runtime, tracker = config.runtime, config.tracker
    if runtime.device is Device.cuda and not torch.cuda.is_available():
        raise ConfigError(["runtime.device=cuda, and torch sees no GPU here; use runtime.device=auto or cpu"])
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    if runtime.deterministic:  # read by cuBLAS when it starts: without it, its products are refused
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(runtime.deterministic)
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    precision = "bf16" if runtime.precision is Precision.bf16 else "no"
    made = Accelerator(
        cpu=runtime.device is Device.cpu,
        mixed_precision=precision,
        log_with=None if tracker is Tracker.none else tracker.value,
        project_dir=metric_loggers.log_dir(config, run_folder),
    )
    if runtime.compile:
        compile.check_compiler(made.device)
    return made
