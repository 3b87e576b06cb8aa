"""`kdrun check`: what passes, what fails, and with which remedy."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdrun.cli import main
from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.runs import preflight
from kdrun.runs.context import PreflightCheck
from kdrun.tasks.classification import ClassificationTask
from kdrun.training.step_checks import FirstStepReport

SMOKE = ["preset=smoke", "teacher.allow_weak=true"]


@pytest.mark.parametrize("words", [["method=kd", "task=sst2"], ["method=finetune", "task=stsb"]])
def test_a_sound_run_passes_and_leaves_no_run(
    words: list[str], run_env: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["check", *words, *SMOKE, f"output_dir={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    wanted = ["labels of the student", "vocabularies", "disk", "loss terms", "gradients", "memory", "0 failed"]
    assert all(f"{part}" in shown for part in wanted)
    assert "FAILED" not in shown
    assert not list(tmp_path.iterdir())


def test_a_weak_teacher_fails_the_check_with_the_remedy(
    run_env: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["method=kd", "task=cola", "preset=smoke", "teacher.allow_weak=false", f"output_dir={tmp_path}"]
    assert main.run(["check", *words]) == 1
    shown = capsys.readouterr().out
    assert "FAILED  the run starts" in shown
    assert "nothing to teach" in shown


def test_a_zero_term_fails_and_says_why() -> None:
    found = FirstStepReport("train", "student", {"hard": 0.5, "soft": 0.0}, 3, ["student.pooler.weight"])
    terms, gradients = preflight._inspected(found)
    assert not terms.ok
    assert "soft teaches nothing" in terms.remedy
    assert gradients.ok
    assert "1 unused: student.pooler.weight" in gradients.found


def test_labels_in_another_order_fail() -> None:
    model = SimpleNamespace(config=SimpleNamespace(num_labels=2, id2label={0: "yes", 1: "no"}))
    evaluator = SimpleNamespace(task_type=ClassificationTask(TaskConfig(name="t", labels=["no", "yes"])))
    run: Any = SimpleNamespace(evaluator=evaluator, roles={"teacher": SimpleNamespace(model=model)})
    found = preflight._labels("teacher", run)
    assert not found.ok
    assert "no, yes" in found.remedy


def test_failed_checks_stop_a_run_all_in_one_report() -> None:
    checks = [
        PreflightCheck("a", True, "fine"),
        PreflightCheck("b", False, "b is odd", "mend b"),
        PreflightCheck("c", False, "c is odd", "mend c"),
    ]
    with pytest.raises(ModelError) as error:
        preflight.raise_if_failed(checks)
    assert str(error.value) == "b: b is odd; mend b\nc: c is odd; mend c"


def test_too_little_disk_fails(monkeypatch: pytest.MonkeyPatch, run_env: None, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert main.run(["check", "method=finetune", *SMOKE, f"output_dir={tmp_path}"]) == 1
