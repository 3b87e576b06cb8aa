"""Measure this machine: matrix products, memory and disk."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from kdrun import processor
from kdrun.storage import cache, json_reader
from kdrun.storage.hashing import digest

SIZES = (192, 768, 2048)
"""Sizes of square matrices; the next one is tried where the one before took little time."""
BUDGET = 0.25
"""Seconds per measured rate."""
DISK_BYTES, MEMORY_BYTES = 32 * 2**20, 96 * 2**20
FILE = "speed.json"


@dataclass(frozen=True)
class MachineSpeed:
    """Highest rates that a short measurement found.

    Attributes:
        fp32: operations per second of matrix products in fp32.
        bf16: the same in bf16.
        memory: bytes per second that a copy reads and writes.
        disk_write: bytes per second written to the disk of the cache.
        disk_read: the same read, without the system's cache of files where it can be dropped.
    """

    fp32: float
    bf16: float
    memory: float
    disk_write: float
    disk_read: float


def machine_speed(device: torch.device) -> MachineSpeed:
    """Rates of this machine with this process's threads, measured once in about two seconds and then cached."""
    key = {"format": 1, "host": digest(platform.node()), "processor": processor.processor(), "device": device.type}
    key |= {"flags": processor.vector_flags(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    if device.type == "cuda":
        key["gpu"] = torch.cuda.get_device_name(device)

    def build(folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(measure(device, folder))))

    def read(folder: Path) -> MachineSpeed:
        shape: dict[str, json_reader.Shape] = dict.fromkeys(MachineSpeed.__dataclass_fields__, float)
        return MachineSpeed(**json_reader.read_object((folder / FILE).read_bytes(), shape, str(folder / FILE)))

    return cache.fetch("machine_speed", key, build, read)[0]


def measure(device: torch.device, folder: Path) -> MachineSpeed:
    """Measure all rates.

    Args:
        device: of the products and the copy.
        folder: on the disk to measure.
    """
    write, read = _disk_rates(folder)
    fp32, bf16 = (matrix_rate(dtype, device) for dtype in (torch.float32, torch.bfloat16))
    return MachineSpeed(fp32, bf16, _memory_rate(device), write, read)


def bf16_factor(device: torch.device) -> float:
    """How many times as long as in fp32 a matrix product takes in bf16, measured in about half a second."""
    return matrix_rate(torch.float32, device) / matrix_rate(torch.bfloat16, device)


def matrix_rate(dtype: torch.dtype, device: torch.device, budget: float = BUDGET) -> float:
    """Operations per second of matrix products: of the largest size that fits into the budget, the fastest one.

    Args:
        dtype: of the matrices.
        device: where they are.
        budget: seconds, roughly.
    """
    rate = 0.0
    for size in SIZES:
        if rate and 2 * size**3 / rate > budget / 4:
            break
        rate = square_rate(size, dtype, device, budget / len(SIZES))
    return rate


def square_rate(size: int, dtype: torch.dtype, device: torch.device, budget: float = BUDGET) -> float:
    """Operations per second of the fastest product of two square matrices; arguments as of `matrix_rate`.

    The numbers are random: on a GPU, products of constants draw less power and are faster than those of a model.
    """
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.rand((size, size), generator=generator, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _fastest(lambda: left @ right, device, budget)


def _memory_rate(device: torch.device) -> float:
    source = torch.ones(MEMORY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * MEMORY_BYTES / _fastest(lambda: target.copy_(source), device, BUDGET)


def _fastest(work: Callable[[], object], device: torch.device, budget: float) -> float:
    """Seconds of the fastest repetition within a budget; the first one, which prepares kernels, does not count."""
    # this thread's processor time, to which other programs add nothing; other threads work equally long
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    seconds: list[float] = []
    deadline = time.perf_counter() + budget
    while len(seconds) < 2 or time.perf_counter() < deadline:
        start = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(clock() - start)
    return max(min(seconds[1:]), 1e-9)


def _disk_rates(folder: Path) -> tuple[float, float]:
    """Bytes per second written, until they are on the disk, and read."""
    content = os.urandom(DISK_BYTES)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        start = time.perf_counter()
        file.write(content)
        os.fsync(file.fileno())
        written = time.perf_counter() - start
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        start = time.perf_counter()
        while file.read(2**20):
            pass
        return DISK_BYTES / written, DISK_BYTES / max(time.perf_counter() - start, 1e-9)
