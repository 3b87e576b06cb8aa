"""Start runs in separate processes that can be killed.

A server imports kdrun once and forks a process per run, so that a run costs only its own computation.
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
import gc, json, os, signal, sys, time
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from kdrun.cli import main
from kdrun.runs import provenance, runner

torch.set_num_threads(1)
provenance.code_digest()
gc.freeze()  # collections at the end of a run leave out the code of libraries


def signal_at(step, number):
    steps = [0]

    def count(*_):
        steps[0] += 1
        if steps[0] == step:
            os.kill(os.getpid(), number)

    register_optimizer_step_pre_hook(count)


for line in sys.stdin:
    words, step, seconds, number, log = json.loads(line)
    child = os.fork()
    if child == 0:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        if step:
            signal_at(step, number)
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
    """Starts one run after the other.

    Attributes:
        process: the server.
        log: file that holds the output of the last run.
    """

    process: subprocess.Popen[str]
    log: Path

    def run(self, *overrides: str, at: int = 0, after: float = 0, with_signal: int = signal.SIGKILL) -> int:
        """Return the exit code of a run, negative for the signal that killed it.

        Args:
            overrides: command line of the run.
            at: number of the optimizer step, counted over all models, at which the signal is sent; 0 for none.
            after: seconds after which the signal is sent; 0 for never.
            with_signal: number of the signal.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([overrides, at, after, int(with_signal), str(self.log)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @property
    def output(self) -> str:
        """Text that the last run printed."""
        return self.log.read_text()


@contextmanager
def server(folder: Path, cache: Path) -> Iterator[Server]:
    """Start a server that logs into the folder, uses the cache and stays offline."""
    command, pipe = [sys.executable, "-c", SERVER], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=_env(cache)) as process:
        yield Server(process, folder / "output.txt")
        assert process.stdin is not None
        process.stdin.close()


PARALLEL = """
import json, os, signal, sys, time
import torch
from kdrun.cli import main
from kdrun.runs import provenance, runner

torch.set_num_threads(1)
provenance.code_digest()
children, (runs, after) = [], json.loads(sys.argv[1])
for words, log in runs:
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


def run_in_parallel(
    command_lines: list[list[str]], folder: Path, cache: Path, after: float = 0
) -> list[tuple[int, str]]:
    """Run command lines in parallel processes; return the exit code and the output of each.

    Args:
        command_lines: overrides of each process.
        folder: folder of their logs.
        cache: cache that they share.
        after: seconds after which the first process is killed; 0 for never.
    """
    logs = [folder / f"output-{i}.txt" for i in range(len(command_lines))]
    request = json.dumps([[[words, str(log)] for words, log in zip(command_lines, logs, strict=True)], after])
    finished = subprocess.run(
        [sys.executable, "-c", PARALLEL, request], env=_env(cache), stdout=subprocess.PIPE, text=True, check=True
    )
    return [(code, log.read_text()) for code, log in zip(json.loads(finished.stdout), logs, strict=True)]


def _env(cache: Path) -> dict[str, str]:
    env = {**os.environ, "KDRUN_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return env | {"TOKENIZERS_PARALLELISM": "false", "COLUMNS": "200"}


def overrides(method: str, output_dir: Path) -> list[str]:
    """Return a run of a method that takes seconds, evaluates and logs several times, and can resume from any step."""
    by_method = {"meta_kd": ["task=amazon", "method.domain=books"], "zskd": ["method.student_steps_per_cycle=2"]}
    by_method["gkd"] = ["task=conll2003", "teacher=t5_smoke", "student=t5_smoke", "task.answer_tokens=6"]
    by_method["mate_kd"] = [*by_method["zskd"], "method.reuse=2", "method.candidates=2"]
    small = ["preset=smoke", "corpus.max_lines=300", "optim.steps=6", "teacher.finetune_optim.steps=4"]
    often = ["runtime.log_every=2", "runtime.eval_every=2", "checkpoint.every_seconds=0"]
    rest = ["teacher.allow_weak=true", f"output_dir={output_dir}"]
    return [f"method={method}", *by_method.get(method, ["task=sst2"]), *small, *often, *rest]


def outputs(folder: Path) -> dict[str, Any]:
    """Return all that a run left: bytes of weights and predictions, logs and counts without times, names of files."""
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
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
        "counts": {key: result[key] for key in ("steps", "data", "checkpoint", "student", "teacher")},
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of the outputs that differ."""
    return [name for name in one if one[name] != other[name]]
