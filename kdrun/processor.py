"""Name, instructions and usable cores of this machine's processor."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

from kdrun import cgroup

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")
"""Instructions that decide the speed of a model, and with int8 its answers; the last two are of ARM processors."""
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")
"""Instructions that multiply matrices in bf16, fastest first; the last one is of ARM processors. Without one of them
torch converts each value, and is many times slower than in fp32."""


def processor() -> str:
    """Name of the processor, where Linux reports it, else the machine type."""
    names = _values("model name")
    return names[0] if names else platform.machine()


def vector_flags() -> list[str] | None:
    """Those of `FLAGS` that the processor has; None where the system does not report them."""
    flags = _flags()
    return None if flags is None else [flag for flag in FLAGS if flag in flags]


def bf16_instructions() -> str | None:
    """The fastest instructions for matrices in bf16; None without any, or where the system does not report them."""
    flags = _flags() or ()
    return next((flag for flag in BF16_FLAGS if flag in flags), None)


def usable_cores() -> int:
    """Cores that this process may use: those of its affinity, at most its control group's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup.cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _flags() -> list[str] | None:
    lines = _values("flags") or _values("Features")
    return lines[0].split() if lines else None


def _values(key: str) -> list[str]:
    lines = CPUINFO.read_text(errors="replace").splitlines() if CPUINFO.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]
