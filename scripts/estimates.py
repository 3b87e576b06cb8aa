"""Compare the estimated time of the phases of runs with the measured time.

    .venv/bin/python scripts/estimates.py --into docs/guides/cost.md

Both are seconds of processor time of one thread, so that waiting for other programs counts in neither. Other programs
still slow a thread down, so the estimate is the mean of one before and one after the run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import blocks
from kdrun.config import compose
from kdrun.console import QuietConsole
from kdrun.runs import build, estimate, runner, setup
from kdrun.tasks.evaluator import Evaluator
from kdrun.training.teacher import finetune, logits

COMMON = ["report=false", "student_alone=false", "runtime.threads=1", "teacher.allow_weak=true"]
COMMON += ["checkpoint.every_seconds=1e9"]
WIDE = ["teacher.sizes.hidden_size=256", "teacher.sizes.intermediate_size=1024", "student.sizes.hidden_size=128"]
SHORT = ["optim.steps=120", "teacher.finetune_optim.steps=80"]
CASES = {
    "kd, sst2": ["method=kd", "task=sst2", *SHORT],
    "mate_kd, sst2": ["method=mate_kd", "task=sst2", *SHORT],
    "tinybert_kd, rte, wider models, bf16": [
        *("method=tinybert_kd", "task=rte", "runtime.precision=bf16"),
        *WIDE,
        *SHORT,
    ],
}
TRAINING, TEACHER, SCORING = "teacher's training", "teacher's evaluation", "scoring"
STEPS, EVALUATIONS = "student's steps", "student's evaluations"
PHASES: tuple[str, ...] = (TRAINING, TEACHER, SCORING, STEPS, EVALUATIONS)
NEGLIGIBLE = 0.05
"""Phases that take a smaller share of both totals are left out."""


class Timers:
    """Processor time by phase; the innermost phase gets the time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self._open: list[tuple[str, float]] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside as a phase's, and not as that of the phase around it."""
        start = time.process_time()
        outer = self._open[-1][0] if self._open else None
        self._open.append((name, start))
        try:
            yield
        finally:
            self._open.pop()
            spent = time.process_time() - start
            self.seconds[name] += spent
            if outer is not None:
                self.seconds[outer] -= spent

    def inside(self, name: str) -> bool:
        """Whether a phase is being timed."""
        return any(phase == name for phase, _ in self._open)

    def wrap(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A function whose time counts as that of a phase."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return timed


def measured(overrides: list[str], folder: Path) -> dict[str, float]:
    """The processor time of each phase of a run."""
    timers, outputs = Timers(), Evaluator.outputs

    def evaluator_outputs(self: Evaluator, *args: Any) -> Any:
        if timers.inside(TRAINING) or timers.inside(TEACHER) or timers.inside(SCORING):
            return outputs(self, *args)
        with timers.phase(EVALUATIONS):
            return outputs(self, *args)

    patches = [
        mock.patch.object(finetune, "_fine_tune", timers.wrap(finetune._fine_tune, TRAINING)),
        mock.patch.object(
            finetune.TeacherEvaluation, "outputs", timers.wrap(finetune.TeacherEvaluation.outputs, TEACHER)
        ),
        mock.patch.object(logits, "cached_logits", timers.wrap(logits.cached_logits, SCORING)),
        mock.patch.object(runner, "train_student", timers.wrap(runner.train_student, STEPS)),
        mock.patch.object(Evaluator, "outputs", evaluator_outputs),
    ]
    for patch in patches:
        patch.start()
    try:
        runner.run(compose.load_config([*overrides, f"output_dir={folder}"]), QuietConsole())
    finally:
        for patch in patches:
            patch.stop()
    return timers.seconds


def estimated(overrides: list[str]) -> dict[str, float]:
    """The estimated processor time of each phase."""
    config = compose.load_config(overrides)
    context = setup.start_run(config, QuietConsole(), "", None)
    run = build.build_run(context, *setup.load_data(context))
    phases = estimate.estimate_phases(run, time.process_time)
    setup.release()
    return {phase.name: phase.seconds for phase in phases}


def main() -> None:
    """Print the table, or write it into a document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, help="document with a block <!-- estimates -->")
    parser.add_argument("--only", choices=list(CASES), help="one case")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, overrides in CASES.items():
            if options.only not in (None, name):
                continue
            os.environ["KDRUN_CACHE"] = str(Path(folder, name))
            arguments = [*COMMON, *overrides]
            estimates = [estimated(arguments)]
            spent = measured(arguments, Path(folder) / "out")
            shutil.rmtree(Path(folder, name) / finetune.NAMESPACE, ignore_errors=True)  # or it would be cached
            estimates.append(estimated(arguments))
            mean = {phase: sum(each.get(phase, 0.0) for each in estimates) / len(estimates) for phase in PHASES}
            totals = sum(mean.values()), sum(spent.values())
            times = {phase: (mean[phase], spent[phase]) for phase in PHASES} | {"together": totals}
            for phase, (expected, real) in times.items():
                if max(expected / totals[0], real / totals[1]) > NEGLIGIBLE:
                    difference = f"{100 * (expected / real - 1):+.0f} %"
                    rows.append([name, phase, f"{expected:.1f} s", f"{real:.1f} s", difference])
                    print(*rows[-1], sep="  ", flush=True)
    text = blocks.table(["run", "phase", "estimated", "measured", "difference"], rows)
    if options.into is not None:
        blocks.put(options.into, "estimates", text)


if __name__ == "__main__":
    main()
