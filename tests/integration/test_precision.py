"""Losses and predictions in bf16, within bounds of those in fp32."""

import io
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from benchmarks.stress import killable_runs
from kdrun import registry
from kdrun.config import compose
from kdrun.console import Console
from kdrun.runs import runner
from tests.helpers.runs import read_lines

METHODS = [
    m
    for m, entry in registry.entries("method").items()
    if entry.target.__module__.startswith("kdrun.") and not entry.target.requires.only_text  # no probabilities
]
LOSS = (0.01, 0.002)
"""Most by which a logged loss may differ: this share of it, and this much on top."""
PROBABILITY = 0.01
"""Most by which the probability of a class may differ, after 12 steps at a high learning rate."""
LIVELY = {
    "optim.steps": "12",
    "optim.lr": "3e-3",
    "teacher.finetune_optim.steps": "12",
    "teacher.finetune_optim.lr": "1e-3",
}
"""At 3e-3 a tiny meta-teacher's own training is chaotic: its rounding grows until student losses are 4 % apart."""
LIVELY |= {"checkpoint.every_seconds": "1e9", "runtime.log_every": "1"}


def carry_out(method: str, precision: str, folder: Path) -> tuple[list[float], list[float]]:
    """Every logged loss, and every probability that the student gives."""
    settings = dict(word.split("=", 1) for word in killable_runs.overrides(method, folder)) | LIVELY
    settings |= {"runtime.precision": precision, "run_dir": str(folder / precision)}
    runner.run(
        compose.load_config([f"{key}={value}" for key, value in settings.items()]),
        Console(RichConsole(file=io.StringIO())),
    )
    losses = [record["loss"] for record in read_lines(folder / precision / "metrics.jsonl") if "loss" in record]
    answers = read_lines(folder / precision / "predictions.jsonl")
    return losses, [value for answer in answers for value in answer["probabilities"].values()]


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("method", [pytest.param(m, marks=() if m == "kd" else pytest.mark.slow) for m in METHODS])
def test_bf16_agrees_with_fp32(method: str, tmp_path: Path) -> None:
    (losses, answers), (other_losses, other_answers) = (carry_out(method, p, tmp_path) for p in ("fp32", "bf16"))
    assert len(losses) == len(other_losses) >= 12
    assert losses != other_losses, "bf16 is not used"
    for one, other in zip(losses, other_losses, strict=True):
        assert abs(one - other) <= LOSS[0] * abs(one) + LOSS[1], (one, other)
    assert max(abs(one - other) for one, other in zip(answers, other_answers, strict=True)) <= PROBABILITY
