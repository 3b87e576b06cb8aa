"""Runs in processes of their own that are killed, or go on to the end; `scripts/torture.py` uses it too.

A server imports kdrun once and forks a process for each run, so that a run costs what it computes.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = """
import json, os, signal, sys, time
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from kdrun.cli import main
from kdrun.runs import provenance, runner

torch.set_num_threads(1)
provenance.code_digest()


def strike_at(step, number):
    done = [0]

    def counted(*_):
        done[0] += 1
        if done[0] == step:
            os.kill(os.getpid(), number)

    register_optimizer_step_pre_hook(counted)


for line in sys.stdin:
    words, step, seconds, number, log = json.loads(line)
    child = os.fork()
    if child == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if step:
            strike_at(step, number)
        code = main.run(words)
        sys.stdout.flush()
        os._exit(code)
    if seconds:
        time.sleep(seconds)
        os.kill(child, number)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Server:
    """Carries out one run after the other."""

    process: subprocess.Popen[str]
    log: Path

    def run(self, *words: str, at: int = 0, after: float = 0, with_signal: int = signal.SIGKILL) -> int:
        """A run's exit code, negative for the signal that killed it.

        Args:
            words: of its command line.
            at: number of the optimizer step, of all models, at which it gets the signal; 0 for none.
            after: seconds after which it gets it, wherever it is; 0 for never.
            with_signal: which.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([words, at, after, int(with_signal), str(self.log)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @property
    def shown(self) -> str:
        """What the last run printed."""
        return self.log.read_text()


@contextmanager
def server(folder: Path, cache: Path) -> Iterator[Server]:
    """One that prints into the folder, with that cache and without the hub."""
    command, pipe = [sys.executable, "-c", SERVER], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=_env(cache)) as process:
        yield Server(process, folder / "shown.txt")
        assert process.stdin is not None
        process.stdin.close()


AT_ONCE = """
import json, os, signal, sys, time
import torch
from kdrun.cli import main
from kdrun.runs import provenance, runner

torch.set_num_threads(1)
provenance.code_digest()
children, (asked, after) = [], json.loads(sys.argv[1])
for words, log in asked:
    child = os.fork()
    if child == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = main.run(words)
        sys.stdout.flush()
        os._exit(code)
    children.append(child)
if after:
    time.sleep(after)
    os.kill(children[0], signal.SIGKILL)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""


def at_once(command_lines: list[list[str]], folder: Path, cache: Path, after: float = 0) -> list[tuple[int, str]]:
    """Carry out command lines in as many processes side by side; the exit code of each and what it printed.

    Args:
        command_lines: their words.
        folder: where they print.
        cache: that they have in common.
        after: seconds after which the first is killed, wherever it is; 0 for never.
    """
    logs = [folder / f"shown-{i}.txt" for i in range(len(command_lines))]
    asked = json.dumps([[[words, str(log)] for words, log in zip(command_lines, logs, strict=True)], after])
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, asked], env=_env(cache), stdout=subprocess.PIPE, text=True, check=True
    )
    return [(code, log.read_text()) for code, log in zip(json.loads(done.stdout), logs, strict=True)]


def _env(cache: Path) -> dict[str, str]:
    env = {**os.environ, "KDRUN_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return env | {"TOKENIZERS_PARALLELISM": "false", "COLUMNS": "200"}


def words(method: str, output_dir: Path) -> list[str]:
    """A run of a method that takes seconds, has several evaluations and log lines, and could go on from any step."""
    own = {"meta_kd": ["task=amazon", "method.domain=books"], "mate_kd": ["method.student_turn=2"]}
    own["zskd"] = own["mate_kd"]
    small = ["preset=smoke", "corpus.max_lines=300", "optim.steps=6", "teacher.fine_tuning.steps=4"]
    often = ["runtime.log_every=2", "runtime.eval_every=2", "checkpoint.every=0"]
    rest = ["teacher.allow_weak=true", "report=false", f"output_dir={output_dir}"]
    return [f"method={method}", *own.get(method, ["task=sst2"]), *small, *often, *rest]


def left_by(folder: Path) -> dict[str, Any]:
    """What a run computed: weights and answers to the byte, its log and its counts less all that is a time."""
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


def unlike(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of what differs."""
    return [name for name in one if one[name] != other[name]]
