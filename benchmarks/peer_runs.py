"""Compare whole distillation runs of several libraries: time to one dev score, time in all, peak memory.

    scripts/peers runs
    scripts/peers runs --into docs/results/performance.md
    scripts/peers runs --glue GLUE_FOLDER --teacher FOLDER --student FOLDER --steps 4000

Every run is a separate process that loads the same rows of SST-2, teacher and starting student, takes equally many
steps with the same batch size, learning rates and losses, and evaluates equally often. Import, reading, tokenization,
evaluation and files count. By default kdrun writes the rows and trains the teacher beforehand. kdrun starts with an
empty cache. The score to reach is the highest that every run of a round reached.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.blocks import put, table
from benchmarks.machine import title
from benchmarks.peer_training import HARD_WEIGHT, Settings

SCORE = re.compile(r"step (\d+): dev accuracy ([\d.]+) %")
LIBRARIES = {
    "kdrun": ("kdrun", False),
    "transformers, padded to the maximum": ("transformers", True),
    "transformers, padded per batch": ("transformers", False),
    "TextBrewer": ("textbrewer", False),
    "torchdistill": ("torchdistill", False),
}
"""Library of each program, and whether it pads all rows to the maximum, as run_glue.py does by default."""
SMALLEST = {"steps": 8, "eval_every": 4, "teacher_steps": 8}
"""Sizes of `--smoke`, which only shows that every program runs."""


@dataclass(frozen=True)
class Finished:
    """A finished process.

    Attributes:
        scores: (seconds since the start, dev accuracy in percent) of each evaluation.
        wall: seconds.
        cpu: seconds of all threads.
        peak: resident memory in MiB.
    """

    scores: list[tuple[float, float]]
    wall: float
    cpu: float
    peak: float

    def seconds_to(self, score: float) -> float:
        """Seconds until an evaluation had a score."""
        return next(seconds for seconds, value in self.scores if value >= score)


def execute(command: Sequence[str], env: Mapping[str, str]) -> Finished:
    """Run a command, note when it prints scores, and return its cost.

    Raises:
        SystemExit: the command failed or printed no score.
    """
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **env})
        assert process.stdout is not None
        scores = []
        with process.stdout:
            for line in process.stdout:
                if (score := SCORE.search(line)) is not None and not line.lstrip().startswith("teacher"):
                    scores.append((time.perf_counter() - started, float(score[2])))
        _, status, usage = os.wait4(process.pid, 0)
        wall, process.returncode = time.perf_counter() - started, os.waitstatus_to_exitcode(status)
        if process.returncode or not scores:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)} failed ({process.returncode}): {errors.read()[-3000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Finished(scores, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**20)


def command_of(settings: Settings, folder: Path) -> list[str]:
    """The command of a program; kdrun's writes into the folder."""
    if settings.library != "kdrun":
        return [sys.executable, "-m", "benchmarks.peer_training", json.dumps(dataclasses.asdict(settings))]
    return [
        *(sys.executable, "-m", "kdrun", "method=kd", "task=sst2", "student_alone=false"),
        *("data=folder", f"data.dir={Path(settings.rows).parent}", f"data.max_length={settings.max_length}"),
        *("teacher=pretrained", f"teacher.path={settings.teacher}", "teacher.allow_weak=true"),
        *("student=pretrained", f"student.path={settings.student}"),
        *(f"optim.steps={settings.steps}", f"optim.batch_size={settings.batch_size}", f"optim.lr={settings.lr}"),
        *(f"method.temperature={settings.temperature}", f"method.hard_weight={HARD_WEIGHT}"),
        *(f"method.soft_weight={1 - HARD_WEIGHT}", f"runtime.eval_every={settings.eval_every}"),
        *(f"runtime.threads={settings.threads}", "runtime.precision=fp32", f"output_dir={folder}"),
    ]


def write_rows(folder: Path) -> Path:
    """Write the embedded rows of SST-2 in GLUE's layout, and return their folder."""
    from kdrun.data import embedded

    for split in ("train", "dev"):
        rows = embedded.generate("sst2", split)
        path = folder / "SST-2" / f"{split}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
            writer.writerows([("sentence", "label"), *zip(rows.text, rows.label, strict=True)])
    return folder / "SST-2"


def train_teacher(rows: Path, folder: Path, steps: int) -> Path:
    """Fine-tune a small model with kdrun and return its folder."""
    sizes = {"hidden_size": 128, "intermediate_size": 256, "initializer_range": 0.13}
    arguments = ["method=finetune", "task=sst2", "data=folder", f"data.dir={rows.parent}", f"run_dir={folder}/teacher"]
    arguments += [f"student.sizes.{name}={value}" for name, value in sizes.items()]
    arguments += ["optim.lr=5e-4", f"optim.steps={steps}", f"output_dir={folder}"]
    subprocess.run([sys.executable, "-m", "kdrun", *arguments], check=True, stdout=subprocess.DEVNULL)
    return folder / "teacher" / "student"


def make_student(teacher: Path, folder: Path) -> Path:
    """Save a student of half the teacher's width with random weights and the teacher's vocabulary."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(teacher)
    for name in ("hidden_size", "intermediate_size"):
        setattr(config, name, getattr(config, name) // 2)
    config.initializer_range = 0.17
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(teacher).save_pretrained(folder)
    return folder


def run_round(programs: Mapping[str, Settings]) -> dict[str, Finished]:
    """Run every program once, each with empty caches."""
    finished = {}
    for name, settings in programs.items():
        with tempfile.TemporaryDirectory() as folder:
            env = {"KDRUN_CACHE": f"{folder}/cache", "HF_HOME": f"{folder}/hf", "HF_HUB_OFFLINE": "1"}
            env |= {"OMP_NUM_THREADS": str(settings.threads)}
            finished[name] = execute(command_of(settings, Path(folder) / "outputs"), env)
        run = finished[name]
        print(f"{name}: {run.scores[-1][1]} %, {run.wall:.1f} s, {run.cpu:.1f} s CPU, {run.peak:.0f} MiB", flush=True)
    return finished


def as_table(rounds: Sequence[Mapping[str, Finished]]) -> str:
    """Medians over the rounds; times are multiples of kdrun's in the same round."""
    targets = [min(max(value for _, value in run.scores) for run in finished.values()) for finished in rounds]
    rows = []
    for name in rounds[0]:
        pairs = [(finished["kdrun"], finished[name], target) for finished, target in zip(rounds, targets, strict=True)]
        ratios = {
            "target": [run.seconds_to(target) / ours.seconds_to(target) for ours, run, target in pairs],
            "wall": [run.wall / ours.wall for ours, run, _ in pairs],
            "cpu": [run.cpu / ours.cpu for ours, run, _ in pairs],
        }
        last, peaks = [run.scores[-1][1] for _, run, _ in pairs], [run.peak for _, run, _ in pairs]
        rows.append(
            [
                name,
                f"{statistics.median(last):.1f} %",
                *(f"{statistics.median(values):.2f}x" for values in ratios.values()),
                f"{statistics.median(peaks):.0f}",
            ]
        )
    reached = f"{statistics.median(targets):.1f} %"
    columns = ["run of", "last dev score", f"time to {reached}", "time in all", "CPU time", "peak, MiB"]
    return table(columns, rows)


def main() -> None:
    """Prepare rows and models, run all programs in turn and print one table."""
    parser = argparse.ArgumentParser(description="whole runs of other libraries compared with kdrun's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--eval-every", type=int, default=80)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--glue", type=Path, help="folder with SST-2/train.tsv; by default embedded rows")
    parser.add_argument("--teacher", type=Path, help="folder of a fine-tuned one; by default a small one is trained")
    parser.add_argument("--student", type=Path, help="folder of the student at its start")
    parser.add_argument("--only", choices=list(LIBRARIES), nargs="+", help="these programs, besides kdrun")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to see whether every program runs")
    parser.add_argument("--into", type=Path, help="a document with a block named peer runs")
    args = parser.parse_args()
    if args.smoke:
        args.rounds, args.steps, args.eval_every = 1, SMALLEST["steps"], SMALLEST["eval_every"]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        rows = args.glue / "SST-2" if args.glue else write_rows(folder / "glue")
        teacher = args.teacher or train_teacher(rows, folder, SMALLEST["teacher_steps"] if args.smoke else 1200)
        student = args.student or make_student(teacher, folder / "start")
        shared = {"rows": str(rows), "teacher": str(teacher), "student": str(student), "steps": args.steps}
        shared |= {"eval_every": args.eval_every, "batch_size": 32, "lr": args.lr, "temperature": 2.0}
        shared |= {"max_length": 128, "threads": args.threads}
        programs = {
            name: Settings(library=library, pads_to_maximum=pads, **shared)
            for name, (library, pads) in LIBRARIES.items()
            if args.only is None or name in ("kdrun", *args.only)
        }
        content = as_table([run_round(programs) for _ in range(args.rounds)])
    heading = f"{title()}, {args.rounds} rounds, {args.threads} threads per run, {args.steps} steps"
    print(f"{heading}\n\n{content}")
    if args.into:
        put(args.into, "peer runs", f"{heading}\n\n{content}")


if __name__ == "__main__":
    main()
