"""Name and vector instructions of this machine's processor."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")
"""Instructions that decide the speed of a model, and with int8 its answers; the last two are of ARM processors."""


def processor() -> str:
    """Name of the processor, where Linux reports it, else the machine type."""
    names = _values("model name")
    return names[0] if names else platform.machine()


def vector_flags() -> list[str] | None:
    """Those of `FLAGS` that the processor has; None where the system does not report them."""
    lines = _values("flags") or _values("Features")
    return [flag for flag in FLAGS if flag in lines[0].split()] if lines else None


def _values(key: str) -> list[str]:
    lines = CPUINFO.read_text(errors="replace").splitlines() if CPUINFO.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]
