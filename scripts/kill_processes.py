"""Kill processes of runs that several compute, resume them, and compare the results byte by byte.

    .venv/bin/python scripts/kill_processes.py kills=50 processes=2 method=kd,mate_kd seed=7
    .venv/bin/python scripts/kill_processes.py kills=50 --markdown docs/results/reliability.md

A run of `runtime.devices=N` has N + 1 processes: the one that the user started, and N that compute. One of them gets a
random signal at a random moment: while models are built, while the teacher is fine-tuned or scores, in a step, in an
evaluation, while a checkpoint is written. Every run is resumed until it finishes, and must then equal an undisturbed
run of N processes. A killed run must end within a minute. The script exits with 1 on any difference.
"""

import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.blocks import put, table
from benchmarks.stress import killable_runs
from kdrun.runs.launch import MEMBER

SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGINT", "SIGUSR2")
LONGEST_END = 60.0
"""Seconds in which a run must end after one of its processes was killed."""
UNDISTURBED_SHARE = 0.2
FINETUNE = ["teacher.finetune_optim.gradient_accumulation_steps=2", "teacher.finetune_optim.batch_size=8"]
STEPS = ["optim.batch_size=4", "optim.gradient_accumulation_steps=3"]
OPTIONS = {"kills": "50", "processes": "2", "method": "kd,mate_kd,dfkd_t3,meta_kd", "seed": ""}


@dataclass
class Figures:
    """Counts of the kills, the slowest end after one, and all differences."""

    kills: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    slowest_end: float = 0.0
    differences: list[str] = field(default_factory=list)


def start(overrides: list[str], log: Path, cache: Path) -> subprocess.Popen[bytes]:
    """Start a run whose output goes into a file."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "kdrun", *overrides],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=killable_runs._env(cache),
        )


def victims(process: subprocess.Popen[bytes]) -> dict[str, psutil.Process]:
    """The processes of a run by name: `launcher`, `rank 0`, …; ranks only once they exist."""
    launcher = psutil.Process(process.pid)
    found = {"launcher": launcher}
    for child in launcher.children():
        try:
            if MEMBER in child.cmdline():
                found[f"rank {child.environ()['RANK']}"] = child
        except (psutil.Error, KeyError):
            continue
    return found


def disturb(
    process: subprocess.Popen[bytes], seconds: float, draw: random.Random, figures: Figures, count: int
) -> bool:
    """Send a signal to one process of a run; return whether the run was still there.

    The time of the signal is counted from the start of that process, up to the length of an undisturbed run.

    Args:
        process: the run.
        seconds: length of an undisturbed run.
        draw: draws the process, the signal and the time.
        figures: to which the kill is added.
        count: number of processes that compute.
    """
    name = draw.choice(["launcher", *(f"rank {rank}" for rank in range(count))])
    number, after = draw.choice(SIGNALS), draw.uniform(0, seconds)
    try:
        while (victim := victims(process).get(name)) is None:
            if process.poll() is not None:
                return False
            time.sleep(0.05)
        time.sleep(after)
        victim.send_signal(signal.Signals[number])
    except psutil.Error:
        return False
    killed = time.monotonic()
    try:
        process.wait(LONGEST_END)
    except subprocess.TimeoutExpired:
        figures.differences.append(f"{number} to {name}: the run did not end within {LONGEST_END:.0f} s")
        for other in victims(process).values():
            other.kill()
    figures.slowest_end = max(figures.slowest_end, time.monotonic() - killed)
    figures.kills[name] += 1
    figures.signals[number] += 1
    return True


def kill_one(method: str, root: Path, draw: random.Random, figures: Figures, options: dict[str, str]) -> None:
    """Kill and resume one run until it finishes, and compare it with an undisturbed one."""
    several = f"runtime.devices={options['processes']}"
    overrides = [*killable_runs.overrides(method, root), *FINETUNE, *STEPS, several, "report=false"]
    overrides.append("student_alone=false")
    whole, killed, cache, log = root / f"{method}-whole", root / f"{method}-killed", root / "cache", root / "log.txt"
    seconds_file = root / f"{method}-seconds"
    for namespace in ("teachers", "logits"):
        shutil.rmtree(cache / namespace, ignore_errors=True)
    if not whole.exists():
        started = time.monotonic()
        if start([*overrides, f"run_dir={whole}"], log, cache).wait():
            figures.differences.append(f"{method}: the undisturbed run failed: {log.read_text()[-2000:]}")
            return
        seconds_file.write_text(str(time.monotonic() - started))
        for namespace in ("teachers", "logits"):
            shutil.rmtree(cache / namespace, ignore_errors=True)
    seconds = float(seconds_file.read_text())
    shutil.rmtree(killed, ignore_errors=True)
    figures.runs += 1
    while not figures.differences:
        process = start([*overrides, f"run_dir={killed}"], log, cache)
        is_undisturbed = figures.kills.total() >= int(options["kills"]) or draw.random() < UNDISTURBED_SHARE
        was_killed = False if is_undisturbed else disturb(process, seconds, draw, figures, int(options["processes"]))
        code = process.wait()
        if code == 0:
            different = killable_runs.differences(killable_runs.outputs(whole), killable_runs.outputs(killed))
            figures.differences += [f"{method}: {name}" for name in different]
            return
        if not was_killed:
            figures.differences.append(f"{method}: exit code {code}: {log.read_text()[-2000:]}")


def main(args: list[str]) -> int:
    """Kill as many processes as asked for."""
    document = None
    if "--markdown" in args:
        place = args.index("--markdown")
        document, args = Path(args[place + 1]), args[:place] + args[place + 2 :]
    options = OPTIONS | {"seed": str(int(time.time()))} | dict(arg.split("=", 1) for arg in args)
    if unknown := sorted(set(options) - set(OPTIONS)):
        sys.exit(f"unknown: {', '.join(unknown)}; known: {', '.join(OPTIONS)}")
    # a shell starts background commands with SIGINT ignored, and their children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draw, figures, methods = random.Random(int(options["seed"])), Figures(), options["method"].split(",")
    with TemporaryDirectory() as folder:
        while figures.kills.total() < int(options["kills"]) and not figures.differences:
            kill_one(methods[figures.runs % len(methods)], Path(folder), draw, figures, options)
            print(f"{figures.kills.total()} kills in {figures.runs} runs", flush=True)
    kills, signals = (
        ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        for counts in (figures.kills, figures.signals)
    )
    rows = [
        [f"{figures.kills.total()} kills in {figures.runs} runs ({kills}; {signals})", "every run finished"],
        ["slowest end of a run after a kill", f"{figures.slowest_end:.0f} s"],
        [
            "weights, predictions, logs and names of files compared with undisturbed runs",
            f"{len(figures.differences)} differences{': ' * bool(figures.differences)}{'; '.join(figures.differences)}",
        ],
    ]
    for disturbance, outcome in rows:
        print(f"{disturbance}: {outcome}")
    if document is not None:
        command = shlex.join(
            [".venv/bin/python", "scripts/kill_processes.py", *(f"{k}={v}" for k, v in options.items())]
        )
        put(document, "processes", f"`{command}`\n\n" + table(["disturbance", "outcome"], rows))
    return int(bool(figures.differences))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
