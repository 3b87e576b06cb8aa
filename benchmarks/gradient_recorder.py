"""Run kdrun and record the gradient of each step of the student's training.

    python -m benchmarks.gradient_recorder FILE OVERRIDE …
    torchrun --nproc-per-node 2 -m benchmarks.gradient_recorder FILE OVERRIDE …

FILE gets one array per optimizer step, `<role>/<step>`: the mean gradient over the step's examples, flattened.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from kdrun import ranks, sharding
from kdrun.cli import main
from kdrun.training.optim import gradients
from kdrun.training.phase_runner import PhaseRunner

MOST_STEPS = 40
"""Steps of which the gradient is recorded, of all roles together."""


def _whole(gradient: Any) -> torch.Tensor:
    """A gradient, gathered if it is divided among the processes."""
    return gradient.full_tensor() if sharding.is_divided(gradient) else gradient


def record(path: str, overrides: list[str]) -> int:
    """Run kdrun; the first process writes the gradients.

    Returns:
        The exit code.
    """
    arrays: dict[str, np.ndarray] = {}
    apply = PhaseRunner._apply

    def apply_and_record(self: PhaseRunner, optimizer: Any, divisor: float, *others: Any) -> None:
        if self.context.callback.label != "teacher" and len(arrays) < MOST_STEPS:
            mean = torch.cat([_whole(gradient).flatten() for gradient in gradients(optimizer)]) / divisor
            arrays[f"{self.active}/{self.step}"] = mean.cpu().numpy()
        apply(self, optimizer, divisor, *others)

    PhaseRunner._apply = apply_and_record  # pyright: ignore[reportAttributeAccessIssue]
    sys.argv = ["kdrun", *overrides]
    try:
        main.main()
    except SystemExit as end:
        if ranks.started_as()[0] == 0:
            np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(record(sys.argv[1], sys.argv[2:]))
