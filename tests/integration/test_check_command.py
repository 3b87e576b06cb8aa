"""`kdrun check` on whole runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kdrun.cli import main
from kdrun.console import QuietConsole
from kdrun.runs import estimate, preflight, runner
from kdrun.training import machine_speed
from tests.helpers.runs import smoke_config

SMOKE = ["preset=smoke", "teacher.allow_weak=true"]


@pytest.fixture(autouse=True)
def short_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the machine in a few milliseconds."""
    for name, value in (("BUDGET", 0.01), ("SIZES", (64,)), ("DISK_BYTES", 2**16), ("MEMORY_BYTES", 2**16)):
        monkeypatch.setattr(machine_speed, name, value)


@pytest.mark.parametrize("words", [["method=kd", "task=sst2"], ["method=finetune", "task=stsb"]])
def test_a_sound_run_passes_and_leaves_no_run(
    words: list[str], run_env: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["check", *words, *SMOKE, f"output_dir={tmp_path}"]) == 0
    output = capsys.readouterr().out
    parts = ["labels of the student", "vocabularies", "disk", "loss terms", "gradients", "memory", "0 failed"]
    parts += ["matrix products, bf16", "disk of the cache", "estimated time", "student's steps", "together"]
    assert all(f"{part}" in output for part in parts)
    assert "FAILED" not in output
    assert not list(tmp_path.iterdir())


def test_a_weak_teacher_fails_the_check_with_the_remedy(
    run_env: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["method=kd", "task=cola", "preset=smoke", "teacher.allow_weak=false", f"output_dir={tmp_path}"]
    assert main.run(["check", *words]) == 1
    output = capsys.readouterr().out
    assert "FAILED  the run starts" in output
    assert "teacher.allow_weak=true" in " ".join(output.split())


def test_too_little_disk_fails(monkeypatch: pytest.MonkeyPatch, run_env: None, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert main.run(["check", "method=finetune", *SMOKE, f"output_dir={tmp_path}"]) == 1


def test_the_estimate_covers_every_phase_and_changes_no_weights(run_env: None, tmp_path: Path) -> None:
    run = runner.prepare(smoke_config(tmp_path, "method=mate_kd", "task=sst2", *SMOKE[1:]), QuietConsole())
    before = {role: {k: v.clone() for k, v in b.model.state_dict().items()} for role, b in run.roles.items()}
    ticks = iter(range(10**6))
    phases = {phase.name: phase for phase in estimate.estimate_phases(run, lambda: float(next(ticks)))}
    assert list(phases)[-2:] == ["student's steps", "student's evaluations"]
    assert {"teacher's training", "teacher's evaluation", "scoring"} < set(phases)
    assert phases["student's steps"].detail.count("steps of 1 s") == 2  # one tick per step, of student and generator
    assert "4 student steps" in phases["student's steps"].detail
    for role, bundle in run.roles.items():
        assert all(torch.equal(value, before[role][name]) for name, value in bundle.model.state_dict().items())
