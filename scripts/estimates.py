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
from pathlib import Path

from benchmarks import blocks
from kdrun import stage_times
from kdrun.config import compose
from kdrun.console import QuietConsole
from kdrun.runs import build, estimate, runner, setup
from kdrun.storage import cache
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
PHASES: tuple[str, ...] = (
    stage_times.TRAINING,
    stage_times.TEACHER,
    stage_times.SCORING,
    stage_times.STEPS,
    stage_times.EVALUATIONS,
)
NEGLIGIBLE = 0.05
"""Phases that take a smaller share of both totals are left out."""


def measured(overrides: list[str], folder: Path) -> dict[str, float]:
    """The processor time of each phase of a run, as its result records it."""
    result = runner.run(compose.load_config([*overrides, f"output_dir={folder}"]), QuietConsole())
    assert result is not None
    return {phase: result.get("stages", {}).get(phase, {"cpu_s": 0.0})["cpu_s"] for phase in PHASES}


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
            # or the second estimate would find the results of the run
            shutil.rmtree(cache.cache_root() / finetune.NAMESPACE, ignore_errors=True)
            shutil.rmtree(cache.cache_root() / logits.NAMESPACE, ignore_errors=True)
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
