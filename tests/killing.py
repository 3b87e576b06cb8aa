"""Runs in processes of their own that are killed at a given optimizer step, or go on to the end.

A server imports kdrun once and forks a process for each run, so that a run costs what it computes.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = """
import json, os, signal, sys
import torch
from accelerate.optimizer import AcceleratedOptimizer
from kdrun import cli, results, train

torch.set_num_threads(1)
results.code_digest()


def kill_at(step, number):
    real, done = AcceleratedOptimizer.step, [0]

    def counted(self, *args):
        done[0] += 1
        if done[0] == step:
            os.kill(os.getpid(), number)
        return real(self, *args)

    AcceleratedOptimizer.step = counted


for line in sys.stdin:
    words, step, number, log = json.loads(line)
    child = os.fork()
    if child == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if step:
            kill_at(step, number)
        code = cli.run(words)
        sys.stdout.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Server:
    """Carries out one run after the other."""

    process: subprocess.Popen[str]
    log: Path

    def run(self, *words: str, at: int = 0, with_signal: int = signal.SIGKILL) -> int:
        """A run's exit code, negative for the signal that killed it.

        Args:
            words: of its command line.
            at: number of the optimizer step, of all models, at which it sends itself the signal; 0 for none.
            with_signal: which.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.log.write_text("")
        self.process.stdin.write(json.dumps([words, at, int(with_signal), str(self.log)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @property
    def shown(self) -> str:
        """What the last run printed."""
        return self.log.read_text()

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def server(folder: Path, cache: Path) -> Server:
    """A new one, with that cache and without the hub."""
    env = {**os.environ, "KDRUN_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    env |= {"TOKENIZERS_PARALLELISM": "false", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    return Server(process, folder / "shown.txt")


def left_by(folder: Path) -> dict[str, Any]:
    """What a run computed: its student's bytes, its answers, and its log and counts less all that is a time."""
    result = json.loads((folder / "result.json").read_text())
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    samples = folder / "samples.jsonl"
    return {
        "student": (folder / "student" / "model.safetensors").read_bytes(),
        "best": (folder / "checkpoints" / "best" / "model.safetensors").read_bytes(),
        "last": (folder / "checkpoints" / "last" / "model.safetensors").read_bytes(),
        "predictions": (folder / "predictions.jsonl").read_text(),
        "samples": samples.read_text() if samples.exists() else None,
        "log": [{k: v for k, v in record.items() if k != "examples_per_s"} for record in logged],
        "counts": {key: result[key] for key in ("steps", "data", "checkpoint", "student", "teacher")},
    }
