"""Named random streams from seed, purpose, phase and index.

Only dropout inside the models draws from a global generator, which the trainer seeds from a stream before every
micro-batch. So step k can be repeated without steps 1 … k-1, and two methods with the same seed see the same batches
and start from the same student.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kdrun.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import torch
else:
    np, torch = lazy_module("numpy"), lazy_module("torch")


def derive(seed: int, purpose: str, phase: str = "", index: int = 0) -> int:
    """A 63-bit seed hashed from its arguments; equal arguments give equal seeds on every machine."""
    text = f"{seed}\x1f{purpose}\x1f{phase}\x1f{index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, purpose: str, phase: str = "", index: int = 0) -> torch.Generator:
    """A new CPU generator for one purpose, e.g. `stream(seed, "mask", "distil", step)`."""
    return torch.Generator().manual_seed(derive(seed, purpose, phase, index))


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the global generators that dropout draws from on this device.

    `torch.manual_seed` would also record a traceback for every type of device that is absent, which takes 1 % of the
    time of a small student's step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def numpy_stream(seed: int, purpose: str, phase: str = "", index: int = 0) -> np.random.Generator:
    """A new NumPy generator for one purpose, used for data order and subsets."""
    return np.random.default_rng(derive(seed, purpose, phase, index))


@contextmanager
def seeded_init(seed: int, role: str) -> Iterator[None]:
    """Make the weights drawn inside the context a function of (seed, role), and restore the global generator.

    Models initialize themselves from torch's global CPU generator. Only this one is seeded: `torch.manual_seed` would
    also seed the generators of every GPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "init", role))
        yield
