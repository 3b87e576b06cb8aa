"""Return of free memory to the system."""

import ctypes
import platform
from pathlib import Path

import pytest

from kdrun.training import memory

SIZE, COUNT = 64 << 10, 2000
"""Blocks that the C library serves from its heap, not with separate pages: 125 MiB in total."""


def resident() -> int:
    """MiB of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_what_was_freed_below_something_in_use_goes_back() -> None:
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.memset.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]
    blocks = [libc.malloc(SIZE) for _ in range(COUNT)]
    for block in blocks:
        libc.memset(block, 1, SIZE)
    for block in blocks[:-1]:
        libc.free(block)
    resident_before = resident()
    memory.release_memory()
    assert resident() < resident_before - 60
    libc.free(blocks[-1])
