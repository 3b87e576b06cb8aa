"""Return freed memory to the operating system."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

from accelerate.utils.memory import clear_device_cache


def release_memory() -> None:
    """Collect garbage and return freed memory: the device's, and the host's, which glibc otherwise keeps.

    Cost: tenths of a second, so call it at the end of a training, not per step.
    """
    gc.collect()
    clear_device_cache()
    with suppress(OSError, AttributeError):  # another system, or another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
