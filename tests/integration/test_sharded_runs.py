"""Whole runs with models divided among processes, compared with those of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.helpers.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.integration]
COMMON = [
    "preset=smoke", "task=sst2", "report=false", "student_alone=false", "optim.batch_size=4", "optim.steps=5",
    "optim.gradient_accumulation_steps=5", "checkpoint.every_seconds=0", "runtime.eval_batch_size=200",
]  # fmt: skip


def run(folder: Path, name: str, count: int, overrides: list[str]) -> Path:
    """Run kdrun in a number of processes and record its gradients in `gradients.npz`."""
    run_dir = folder / name
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [*(command if count > 1 else command[:1]), "-m", "benchmarks.gradient_recorder"]
    command += [str(folder / f"{name}.npz"), *COMMON, *overrides, f"run_dir={run_dir}"]
    environment = os.environ | {"KDRUN_CACHE": str(folder / f"cache-{name}"), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return run_dir


@pytest.mark.parametrize(
    ("count", "shard", "overrides"),
    [
        (2, "student", ["method=finetune"]),
        (3, "both", ["method=kd"]),  # three processes have two, two and one micro-batch per step
        (2, "both", ["method=kd", "teacher=t5_smoke", "student=t5_smoke"]),
        (2, "teacher", ["method=tinybert_kd"]),
        pytest.param(2, "teacher", ["method=minilm"], marks=pytest.mark.slow),
        pytest.param(2, "teacher", ["method=crd"], marks=pytest.mark.slow),
    ],
    ids=lambda value: "-".join(value).replace("method=", "") if isinstance(value, list) else str(value),
)
def test_divided_models_give_the_same_run(count: int, shard: str, overrides: list[str], tmp_path: Path) -> None:
    whole = run(tmp_path, "whole", 1, overrides)
    divided = run(tmp_path, "divided", count, [*overrides, f"runtime.shard={shard}"])
    gradients = [np.load(tmp_path / f"{name}.npz") for name in ("whole", "divided")]
    assert set(gradients[0]) == set(gradients[1]) != set()
    for step in gradients[0]:
        largest = np.abs(gradients[0][step]).max()
        np.testing.assert_allclose(gradients[1][step], gradients[0][step], atol=1e-5 * largest)
    for part in ("student", "checkpoints/best", "checkpoints/last"):
        weights = [load_file(folder / part / "model.safetensors") for folder in (whole, divided)]
        assert weights[0].keys() == weights[1].keys()
        for name, values in weights[0].items():
            np.testing.assert_allclose(weights[1][name], values, atol=1e-5)
    results = [json.loads((folder / "result.json").read_text()) for folder in (whole, divided)]
    assert results[0]["student"]["params"] == results[1]["student"]["params"]
