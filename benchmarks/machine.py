"""Describe the machine of a benchmark."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases.base import SCALE


def processor() -> str:
    """Return the processor's name, where Linux reports it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine() -> dict[str, Any]:
    """Return the machine and the versions of a measurement."""
    on_gpu = SCALE.device == "cuda"
    return {
        "processor": torch.cuda.get_device_name() if on_gpu else processor(),
        "precision": SCALE.precision,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def title() -> str:
    """Return the machine in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine().items())
