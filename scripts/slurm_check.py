#!/usr/bin/env python3
"""Run a sweep on a real Slurm of one node, preempt a cell, and count what each cell did.

Needs root and Debian's packages: apt-get install -y --no-install-recommends slurm-wlm munge
Starts munged, slurmctld and slurmd on 127.0.0.1 with their files in a new folder below /run, and stops them at the end.
Where a Slurm is configured or running, the script refuses to start. Not part of scripts/test.

    .venv/bin/python scripts/slurm_check.py [cells=8] [steps=300] [by=USR2|requeue] [output=FOLDER]

by=requeue lets Slurm itself put the job back into the queue, as at a preemption: it sends SIGTERM.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
PACKAGES = "apt-get install -y --no-install-recommends slurm-wlm munge"
START, RUN = 60, 3000
"""Seconds that Slurm may take to start, and the sweep to run."""
CONF = """\
ClusterName=kdrun
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
ReturnToService=2
SlurmUser=root
SlurmdUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def main() -> int:
    """Run the check.

    Returns:
        0 if every cell finished once and one was preempted.
    """
    options = {"cells": "8", "steps": "300", "by": "USR2", "output": ""} | dict(
        arg.split("=", 1) for arg in sys.argv[1:]
    )
    problems = find_problems()
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 2
    work = Path(options["output"] or tempfile.mkdtemp(prefix="kdrun-slurm-"))
    with slurm():
        seconds, code = run_sweep(work, int(options["cells"]), int(options["steps"]), options["by"])
    return report(work, int(options["cells"]), seconds, code)


def find_problems() -> list[str]:
    """Why the check cannot run on this machine, as sentences."""
    problems = []
    if os.geteuid() != 0:
        problems.append("the daemons of Slurm need root")
    missing = [name for name in (*DAEMONS, "sbatch", "srun", "scancel") if shutil.which(name) is None]
    if missing:
        problems.append(f"not installed: {', '.join(missing)}; on Debian: {PACKAGES}")
    running = [process.name() for process in psutil.process_iter() if process.name() in DAEMONS]
    configured = [str(path) for path in (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl")) if path.exists()]
    if "SLURM_CONF" in os.environ:
        configured.append(f"SLURM_CONF={os.environ['SLURM_CONF']}")
    if running or configured:
        problems.append(f"this machine has a Slurm ({', '.join(running + configured)}), which stays untouched")
    return problems


@contextmanager
def slurm() -> Iterator[None]:
    """A Slurm of one node; its daemons are stopped and its files deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="kdrun-slurm-", dir="/run"))
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    facts = {"host": socket.gethostname(), "folder": folder, "cpus": os.cpu_count()}
    memory = psutil.virtual_memory().total // 2**20 * 9 // 10
    (folder / "slurm.conf").write_text(CONF.format(**facts, memory=memory))
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
    munge = [f"--{option}={folder / name}" for option, name in files.items()]
    commands = [
        ["munged", "--foreground", *munge, f"--seed-file={folder / 'munged.seed'}"],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", socket.gethostname()],
    ]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for command in commands:
            stack.enter_context(daemon(command, folder / f"{command[0]}.out"))
            time.sleep(1)
        wait_for_node(folder)
        try:
            yield
        finally:
            subprocess.run(["scancel", "--user=root"], check=False)
            time.sleep(2)


@contextmanager
def daemon(command: list[str], log: Path) -> Iterator[None]:
    """A daemon in the foreground of its process; terminated at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for_node(folder: Path) -> None:
    """Wait until the node takes jobs.

    Raises:
        SystemExit: it does not; the logs are printed.
    """
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        state = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False)
        if state.stdout.strip() == "idle":
            return
        time.sleep(1)
    logs = [f"{path}:\n{path.read_text(errors='replace')[-2000:]}" for path in folder.glob("*.[lo][ou][gt]")]
    raise SystemExit("\n".join(["Slurm did not start", *logs]))


def run_sweep(work: Path, cells: int, steps: int, by: str) -> tuple[float, int]:
    """Run the sweep, and preempt the first cell that trains; seconds and exit code."""
    seeds = ",".join(str(seed) for seed in range(1, cells + 1))
    command = [sys.executable, "-m", "kdrun", "-m", "method=finetune", "task=sst2", "preset=smoke", f"seed={seeds}"]
    command += [f"optim.steps={steps}", f"output_dir={work}", "report=false", "hydra/launcher=slurm_cpu"]
    command += [f"hydra.launcher.{setting}" for setting in ("cpus_per_task=1", "mem_gb=null", "timeout_min=60")]
    started = time.monotonic()
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as sweep:
        preempt(work, sweep, by)
        try:
            code = sweep.wait(timeout=RUN)
        except subprocess.TimeoutExpired:
            sweep.kill()
            code = -1
    return time.monotonic() - started, code


def preempt(work: Path, sweep: subprocess.Popen[bytes], by: str) -> None:
    """Send SIGUSR2 to the job of the first cell that has logged a step of its training, or requeue the job."""
    while sweep.poll() is None:
        for metrics in work.glob("sweeps/*/*/metrics.jsonl"):
            for log in work.glob("sweeps/*/.submitit/*/*_log.out"):
                if f"starts in {metrics.parent}" in log.read_text():
                    job = log.name.removesuffix("_0_log.out")
                    command = ["scontrol", "requeue", job] if by == "requeue" else ["scancel", "--signal=USR2", job]
                    print(*command)
                    # scancel complains about the batch script, which has ended; the step of the run gets the signal
                    subprocess.run(command, check=False)
                    return
        time.sleep(0.2)


def report(work: Path, cells: int, seconds: float, code: int) -> int:
    """Print what the ledger says; 0 if every cell finished once and one was preempted."""
    lines = [json.loads(line) for line in (work / "ledger.jsonl").read_text().splitlines()]
    events = Counter((line["run_id"], line["event"], line.get("status")) for line in lines)
    counts = {
        "cells": cells,
        "started": sum(event == "start" for _, event, _ in events),
        "finished": sum(status == "done" for _, _, status in events),
        "finished more than once": sum(n > 1 for (_, _, status), n in events.items() if status == "done"),
        "interrupted": sum(status == "interrupted" for _, _, status in events),
        "resumed": sum(event == "resume" for _, event, _ in events),
        "failed": sum(status == "failed" for _, _, status in events),
    }
    version = subprocess.run(["slurmd", "-V"], capture_output=True, text=True, check=False).stdout.strip()
    print("\n| disturbance | outcome |\n| --- | --- |")
    outcome = ", ".join(f"{name} {count}" for name, count in counts.items())
    print(f"| {version}, one node: a sweep of {cells} jobs, one preempted | {outcome}; {seconds:.0f} s |")
    print(f"exit code {code}; files in {work}")
    expected = [cells, cells, cells, 0, 1, 1, 0]
    return int(code != 0 or list(counts.values()) != expected)


if __name__ == "__main__":
    sys.exit(main())
