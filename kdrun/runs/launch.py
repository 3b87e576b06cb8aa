"""Start the processes of a run, and runs in other processes.

`runtime.devices=N` starts torchrun's agent inside this process: it composed the config once, locked the folder and
writes the ledger, and N processes (`kdrun.runs.member`) compute the run. Under an outer torchrun, the first process
takes both parts, and the others wait for the runs that it starts in them, such as the cells of a sweep.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun import processor, ranks, signals
from kdrun.config.schema import RunConfig
from kdrun.errors import ConfigError, KdrunError, ProcessError, restore
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage.json_reader import parse
from kdrun.storage.run_result import RunResult
from kdrun.storage.typed_json import encode

MEMBER = "kdrun.runs.member"
JOB = "job.json"
GRACE_SECONDS = 15.0
"""Seconds in which the processes of a failed run must report that it failed for them too."""
STOP_SECONDS = 5.0
"""The same after a signal, which processes that stop after the same step handle at the same time."""
SHUTDOWN_SECONDS = 30
"""Seconds between SIGTERM and SIGKILL for the other processes after one has failed; without it they cannot go on."""


@dataclass(frozen=True)
class Job:
    """A run that several processes compute.

    Attributes:
        config: its config.
        run_dir: its folder.
        command: command that repeats it.
    """

    config: RunConfig
    run_dir: str
    command: str


@dataclass
class _Leadership:
    """Runs that this process, the first one, has started in the others."""

    num_started: int = 0
    is_in_step: bool = True


_leadership = _Leadership()


def run_processes(config: RunConfig, run_dir: RunDirectory) -> RunResult:
    """Compute a run in `runtime.devices` processes of this machine.

    A signal to this process reaches all of them; they stop after the same step.

    Returns:
        The content of result.json.

    Raises:
        KdrunError: that of the first process that failed; a ProcessError if it was killed.
        StopRequested: a signal arrived; the state was saved.
    """
    count = config.runtime.devices
    _check_devices(config)
    job = Job(config, str(run_dir.path), run_dir.command)
    with tempfile.TemporaryDirectory(prefix="kdrun-") as text, _environment(count):
        folder = Path(text)
        (folder / JOB).write_text(encode(job), encoding="utf-8")
        with signals.forward_to(_send_to_members):
            _run_agent(count, folder)
        outcome = read_outcome(folder, 0)
    if outcome is not None and "stopped" in outcome:  # by a signal to one of them alone
        signals.stop(outcome["stopped"])
    if outcome is None or "result" not in outcome:
        raise ProcessError(f"the {count} processes of the run ended without a result")
    return outcome["result"]


def _check_devices(config: RunConfig) -> None:
    import torch

    count, name = config.runtime.devices, config.runtime.device.value
    available = torch.cuda.device_count()
    if name != "cpu" and available and count > available:
        raise ConfigError([f"runtime.devices={count}, but torch finds {available} GPUs; use at most {available}"])


@contextmanager
def _environment(count: int) -> Iterator[None]:
    """Environment of the processes: a share of the cores for each, and the loopback interface."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    defaults = {"OMP_NUM_THREADS": str(max(1, processor.usable_cores() // count)), "GLOO_SOCKET_IFNAME": loopback}
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _run_agent(count: int, folder: Path) -> None:
    """Start the processes and wait for their end.

    Raises:
        KdrunError: the first process that failed says why, or was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    settings = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "logs")),
        shutdown_timeout=SHUTDOWN_SECONDS,
        signals_to_handle="",  # kdrun passes signals on itself, and waits until the state is saved
    )
    agent_log = logging.getLogger("torch.distributed.elastic")
    level = agent_log.level
    agent_log.setLevel(logging.CRITICAL)  # it would print what the error below says, in twenty lines
    try:
        elastic_launch(settings, sys.executable)("-m", MEMBER, str(folder))
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        stopped = (read_outcome(folder, number) or {}).get("stopped")
        if signals.pending() is None and stopped is None:
            raise _error_of(folder, number, count, failure.exitcode) from None
        signals.stop(stopped)
    finally:
        agent_log.setLevel(level)


def _error_of(folder: Path, number: int, count: int, exit_code: int) -> KdrunError:
    """The error that a process left, or a description of its end."""
    outcome = read_outcome(folder, number)
    if outcome is None or "error" not in outcome:
        name = signal.Signals(-exit_code).name if exit_code < 0 else ""
        end = f"was killed by {name}" if name else f"ended with exit code {exit_code}"
        return ProcessError(f"process {number} of {count} {end}; the others were stopped")
    source = "" if number == 0 else f"process {number} of {count}: "
    return restore(outcome | {"message": source + outcome["message"]})


def _send_to_members(number: int) -> None:
    """Send a signal to the processes that this process started."""
    import psutil

    for child in psutil.Process().children():
        try:
            if MEMBER in child.cmdline():
                child.send_signal(number)
        except psutil.Error:  # it ended
            continue


def write_outcome(folder: Path, outcome: dict[str, Any]) -> None:
    """Leave the outcome of this process for the process that started it."""
    path = folder / f"outcome-{ranks.started_as()[0]}.json"
    path.with_suffix(".part").write_text(json.dumps(outcome), encoding="utf-8")
    path.with_suffix(".part").rename(path)


def read_outcome(folder: Path, number: int) -> dict[str, Any] | None:
    """The outcome that a process left; None if it left none."""
    path = folder / f"outcome-{number}.json"
    return parse(path.read_bytes()) if path.exists() else None


@contextmanager
def lead(job: Job) -> Iterator[None]:
    """Start a run in the other processes, as the first of those that torchrun started.

    If this process fails, the others must report in time that they left the run too; otherwise no further run can start
    in them.

    Raises:
        ProcessError: the processes are out of step since an earlier run failed in one of them alone.
    """
    ranks.join()
    if not _leadership.is_in_step:
        raise ProcessError("an earlier run failed in one process alone; start the processes again")
    number, _leadership.num_started = _leadership.num_started, _leadership.num_started + 1
    ranks.post(run_key(number), encode(job))
    try:
        yield
    except BaseException as error:
        _leadership.is_in_step = False
        ranks.post(failed_key(number), "")
        if isinstance(error, KeyboardInterrupt):
            raise  # no further run starts; the others notice that this process ends
        with suppress(TimeoutError, ProcessError):  # they wait for this process in a pass of a divided model
            for other in range(1, ranks.size()):
                ranks.receive(left_key(number, other), GRACE_SECONDS)
            _leadership.is_in_step = True
        raise


def dismiss_members() -> None:
    """Let the other processes that torchrun started end; called when the first process has no further run."""
    if ranks.started_as()[1] > 1:
        ranks.join()
        ranks.post(run_key(_leadership.num_started), encode(None))


def run_key(number: int) -> str:
    """Key of the message that starts the run of a number; its value is a Job, or None for no further run."""
    return f"run/{number}"


def failed_key(number: int) -> str:
    """Key of the message that the run of a number failed in the first process."""
    return f"failed/{number}"


def left_key(number: int, rank: int) -> str:
    """Key of the message that a process left the run of a number because of an error."""
    return f"left/{number}/{rank}"
