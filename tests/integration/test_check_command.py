"""`kdrun check` on whole runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from kdrun.cli import main
from kdrun.runs import preflight

SMOKE = ["preset=smoke", "teacher.allow_weak=true"]


@pytest.mark.parametrize("words", [["method=kd", "task=sst2"], ["method=finetune", "task=stsb"]])
def test_a_sound_run_passes_and_leaves_no_run(
    words: list[str], run_env: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["check", *words, *SMOKE, f"output_dir={tmp_path}"]) == 0
    output = capsys.readouterr().out
    parts = ["labels of the student", "vocabularies", "disk", "loss terms", "gradients", "memory", "0 failed"]
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
