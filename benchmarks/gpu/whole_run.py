"""Run `kdrun` as a user does: a whole embedded run on the GPU, then predictions of its student."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.gpu import commands
from benchmarks.gpu.findings import Findings, Options, run_part
from kdrun.storage import run_result

MOST_SECONDS = 60.0
"""Seconds per command."""
TEXTS = ("a fine film", "a dull one", "an even duller sequel")


def check(options: Options, findings: Findings) -> None:
    """Run kd with its defaults, read its result, and predict a few texts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache, run_dir = folder / "cache", folder / "run"
        preset = ["preset=smoke"] if options.tiny else []
        overrides = ["method=kd", "task=sst2", *preset, f"runtime.device={options.device}"]
        places = [f"output_dir={folder}/outputs", f"run_dir={run_dir}"]
        limit = MOST_SECONDS * options.patience
        if not commands.kdrun([*overrides, *places], cache, findings, limit):
            return
        result = run_result.read_result(run_dir / run_result.RESULT)
        metric, split = result["headline"]["metric"], result["headline"]["split"]
        score = result["student"]["metrics"][split][metric]
        findings.add(f"{split} {metric} of its student", f"{score}", "a number", isinstance(score, float))
        times = result["time"]
        findings.add("its time", f"{times['total_s']} s, of which {times['train_s']} s train the student")
        (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
        output = folder / "answers.jsonl"
        files = [f"input={folder}/texts.txt", f"output={output}"]
        if commands.kdrun(["predict", str(run_dir), *files, f"device={options.device}"], cache, findings, limit):
            count = len(output.read_text(encoding="utf-8").splitlines())
            findings.add("predicted texts", f"{count}", f"{len(TEXTS)}", count == len(TEXTS))


if __name__ == "__main__":
    run_part(__doc__ or "", check)
