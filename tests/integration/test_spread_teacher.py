"""Whole runs with a teacher that is spread over memory and disk, compared with those of a whole teacher."""

from pathlib import Path

import pytest

from kdrun.errors import ModelError
from tests.helpers.runs import Finished, finish, smoke_config
from tests.helpers.tiny_families import save_checkpoint, save_language_model

pytestmark = pytest.mark.usefixtures("run_env")
SMALL = ["student_alone=false", "teacher.allow_weak=true", "data.max_train_rows=32", "optim.steps=4"]
ON_DISK = ["teacher.placement=auto", "teacher.max_memory={cpu: 0MB}"]


def run(folder: Path, overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> Finished:
    """Run with a separate cache, so that the teacher's outputs are computed."""
    monkeypatch.setenv("KDRUN_CACHE", str(folder / "cache"))
    return finish(smoke_config(folder, *SMALL, *overrides))


SHARED = ["student.tokenizer=teacher", "generator.tokenizer=teacher"]
SLOW_CASES = [
    ["method=kd_augment", *SHARED],
    ["method=kd_freelb", "runtime.precision=bf16"],
    ["method=tinybert_kd", *SHARED[:1]],
    ["method=tinybert_kd", *SHARED[:1], "method.teacher_states=keep"],
    ["method=minilm", *SHARED[:1]],
    ["method=crd"],
    ["method=dfkd_t3", "generator=t5_smoke", "method.gradient=score"],
]


@pytest.mark.parametrize(
    "overrides", [["method=kd"], *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW_CASES)], ids=" ".join
)
def test_the_student_is_that_of_a_whole_teacher(
    overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_checkpoint("bert", tmp_path / "teacher", num_hidden_layers=2)
    overrides = ["task=mnli", *overrides, "teacher=pretrained", f"teacher.path={folder}"]
    whole = run(tmp_path / "whole", overrides, monkeypatch)
    spread = run(tmp_path / "spread", [*overrides, *ON_DISK], monkeypatch)
    assert "spread over disk" in spread.output
    students = [finished.run_dir / "student" / "model.safetensors" for finished in (whole, spread)]
    assert students[0].read_bytes() == students[1].read_bytes()
    assert whole.result["teacher"] == spread.result["teacher"]


@pytest.mark.slow
def test_a_prompted_teacher_is_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_language_model("llama", tmp_path / "model")
    overrides = ["method=kd", "teacher=prompted", f"teacher.path={folder}", "teacher.label_words=[bad,good]"]
    whole = run(tmp_path / "whole", overrides, monkeypatch)
    spread = run(tmp_path / "spread", [*overrides, *ON_DISK], monkeypatch)
    assert whole.result["teacher"] == spread.result["teacher"]
    assert whole.result["student"]["metrics"] == spread.result["student"]["metrics"]


def test_a_teacher_without_a_head_is_not_trained_in_parts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"teacher\.placement=auto.*teacher\.path=FOLDER"):
        finish(smoke_config(tmp_path, "method=kd", *ON_DISK))
