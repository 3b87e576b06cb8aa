"""Sweeps as jobs of a launcher, in real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.helpers.ledgers import read_ledger

TINY = [
    "method=finetune", "task=sst2", "preset=smoke", "optim.steps=1000", "report=false",
]  # fmt: skip
TIMEOUT = 180


def start(folder: Path, *overrides: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kdrun", "-m", *TINY, f"output_dir={folder}", *overrides]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def job_in_training(folder: Path, sweep: subprocess.Popen[str]) -> int:
    """Process id of the job, once its run has logged a step."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and sweep.poll() is None:
        if list(folder.glob("sweeps/*/*/metrics.jsonl")):
            for process in psutil.Process(sweep.pid).children(recursive=True):
                if "submitit.core._submit" in process.cmdline():
                    return process.pid
        time.sleep(0.1)
    pytest.fail(f"no job: {sweep.communicate()[0]}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "statuses"),
    [(signal.SIGUSR2, 0, ["interrupted", "running", "done"]), (signal.SIGTERM, 1, ["interrupted"])],
)
def test_a_preempted_job_of_submitit_resumes_and_a_terminated_one_stops(
    number: int, code: int, statuses: list[str], tmp_path: Path
) -> None:
    overrides = ["seed=3", "hydra/launcher=local_jobs"]
    sweep = start(tmp_path, *overrides)
    os.kill(job_in_training(tmp_path, sweep), number)
    output, _ = sweep.communicate(timeout=TIMEOUT)
    assert sweep.returncode == code, output
    assert "Traceback" not in output
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines if "status" in line] == statuses
    assert len(read_ledger(tmp_path)) == 1
    repeated = start(tmp_path, *overrides)
    output, _ = repeated.communicate(timeout=TIMEOUT)
    assert repeated.returncode == 0, output
    assert ("1 job by hydra/launcher=local_jobs" in output) == (number == signal.SIGTERM)
    (run,) = read_ledger(tmp_path)
    assert run["status"] == "done"


@pytest.mark.slow
def test_cells_run_by_joblib(tmp_path: Path) -> None:
    sweep = start(tmp_path, "seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    output, _ = sweep.communicate(timeout=TIMEOUT)
    assert sweep.returncode == 0, output
    assert [run["status"] for run in read_ledger(tmp_path)] == ["done", "done"]
