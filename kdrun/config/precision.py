"""Resolve `runtime.precision=auto` for this machine.

A run's identity and the keys of cached teachers contain the resolved value. So two machines with different results
share nothing, and `auto` shares all results with its resolved value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdrun import processor
from kdrun.config.runtime import Device, Precision, RuntimeConfig

GPU_NODES = tuple(map(Path, ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")))
"""Device files of GPUs. Without one of them no GPU is looked for, which would import torch."""


@dataclass(frozen=True)
class Bf16Support:
    """Whether a device multiplies matrices in bf16 natively.

    Attributes:
        is_native: if not, bf16 is slower than fp32.
        reason: a clause for readers of a run.
    """

    is_native: bool
    reason: str


def resolve_precision(runtime: RuntimeConfig) -> None:
    """Replace `auto` by the precision for this machine, in place."""
    runtime.precision = resolved(runtime.precision, runtime.device)


def resolved(precision: Precision, device: Device) -> Precision:
    """The resolved value of `auto` on a device; any other precision as it is."""
    if precision is not Precision.auto:
        return precision
    return Precision.bf16 if bf16_support(device).is_native else Precision.fp32


def bf16_support(device: Device) -> Bf16Support:
    """How a device computes in bf16; only a machine with a GPU imports torch for it.

    Args:
        device: of a run; `auto` is the GPU if torch finds one.
    """
    if device is not Device.cpu and any(node.exists() for node in GPU_NODES):
        import torch

        if torch.cuda.is_available():
            name, is_native = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
            return Bf16Support(is_native, f"{name} {'computes' if is_native else 'does not compute'} in bf16")
    instructions = processor.bf16_instructions()
    if instructions is not None:
        return Bf16Support(True, f"this processor has {instructions}")
    return Bf16Support(False, f"this processor has none of {', '.join(processor.BF16_FLAGS)}")
