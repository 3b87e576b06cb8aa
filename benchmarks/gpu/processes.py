"""Train in two processes with a GPU each, connected by NCCL, and compare the student with that of one process.

Both runs take the same three steps of three micro-batches, so their weights differ only by rounding. On a CPU the two
processes are connected by gloo.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.gpu import commands
from benchmarks.gpu.findings import Findings, Options, run_part

MOST_SECONDS = 24.0
"""Seconds per run."""
TOLERANCE = 1e-4
"""Largest difference of a weight; Adam's first steps change each by up to the learning rate of 1e-3."""
OVERRIDES = (
    "method=kd",
    "task=sst2",
    "preset=smoke",
    "report=false",
    "optim.batch_size=4",
    "optim.gradient_accumulation_steps=3",
    "optim.steps=3",
)


def check(options: Options, findings: Findings) -> None:
    """Run in one process and in two, and compare the weights of the students."""
    count = torch.cuda.device_count()
    if options.device == "cuda" and count < 2:
        findings.add("two processes", f"not run: this machine has {count} GPU, and NCCL needs one per process")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for devices in (1, 2):
            places = [f"output_dir={folder}/outputs", f"run_dir={folder}/{devices}"]
            overrides = [*OVERRIDES, f"runtime.device={options.device}", f"runtime.devices={devices}", *places]
            if not commands.kdrun(overrides, folder / "cache", findings, MOST_SECONDS * options.patience):
                return
        one, two = (load_file(folder / str(devices) / "student" / "model.safetensors") for devices in (1, 2))
        difference = max(float((one[key] - two[key]).abs().max()) for key in one)
        name = f"weights of two processes ({'NCCL' if options.device == 'cuda' else 'gloo'}) and of one"
        findings.add(name, f"differ by at most {difference:.1e}", f"≤ {TOLERANCE:g}", difference <= TOLERANCE)


if __name__ == "__main__":
    run_part(__doc__ or "", check)
