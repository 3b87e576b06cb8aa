"""Teachers that are not trained here: answers in files, and prompted language models."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun.cli import main
from kdrun.config import compose
from kdrun.data.recorded.table import read_table
from kdrun.experiments import reuse
from kdrun.reporting.html import report
from tests.helpers.runs import Finished, finish, smoke_config
from tests.helpers.tiny_families import save_language_model

pytestmark = pytest.mark.usefixtures("run_env")
TEACHER = ["preset=smoke", "student_alone=false", "report=false"]
NOT_TRAINED = "teacher.allow_weak=true"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Path:
    """Files of the answers of the smoke preset's teacher: all splits as Parquet, train as JSONL."""
    folder = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        assert main.run(["label", *TEACHER, f"output={folder}/all.parquet"]) == 0
        assert main.run(["label", *TEACHER, f"output={folder}/train.jsonl", "split=train"]) == 0
    return folder


def run(tmp_path: Path, *overrides: str) -> Finished:
    return finish(smoke_config(tmp_path, "method=kd", "student_alone=false", *overrides))


def weights(finished: Finished) -> bytes:
    return (finished.run_dir / "student" / "model.safetensors").read_bytes()


def test_the_student_of_the_files_is_the_student_of_the_model(answers: Path, tmp_path: Path) -> None:
    live = run(tmp_path)
    parquet = run(tmp_path, "teacher=recorded", f"teacher.path={answers}/all.parquet", NOT_TRAINED)
    jsonl = run(tmp_path, "teacher=recorded", f"teacher.path={answers}/train.jsonl")
    assert weights(live) == weights(parquet) == weights(jsonl)
    assert parquet.result["teacher"]["metrics"] == live.result["teacher"]["metrics"]
    assert parquet.result["teacher"]["name"].startswith("all (recorded ")
    assert jsonl.result["teacher"]["metrics"] == {"dev": {"accuracy": None}}
    reasons = jsonl.result["reasons"]
    assert "no answer for 500 of 500 rows" in reasons["teacher.metrics.dev.accuracy"]
    assert "no answer for 500 of 500 rows" in reasons["retention"]
    assert "recorded" in reasons["compression"]
    page = report.write_run_report(jsonl.run_dir).read_text(encoding="utf-8")
    assert "no answer for 500 of 500 rows" in page


def test_a_changed_file_is_another_run_and_missing_rows_are_named(
    answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (answers / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    args = [*TEACHER, "method=kd", "teacher=recorded", f"teacher.path={path}", f"output_dir={tmp_path}/out"]
    key = reuse.run_key(compose.load_config(args))
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    assert reuse.run_key(compose.load_config(args)) != key
    assert main.run(args) == 1
    assert "answers.jsonl has no answer for 1 of 64 rows of train" in capsys.readouterr().out


def test_generated_text_passes_its_probabilities_on(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": f"text number {i}", "teacher": {"negative": 0.3, "positive": 0.7}} for i in range(16)
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    finished = run(
        tmp_path, "teacher=recorded", "data=generated", f"data.path={path}", "optim.steps=2", "method.temperature=1"
    )
    soft = json.loads((finished.run_dir / "metrics.jsonl").read_text().splitlines()[0])["soft"]
    # KL(0.3, 0.7 ‖ 0.5, 0.5), because the student is undecided at the start; of the labels alone it would be 0.69
    assert soft == pytest.approx(0.082, abs=0.01)


def test_texts_of_a_file_are_labeled(answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_bytes("\ufeffa good film\r\n\na bad one".encode())
    output = tmp_path / "labels.jsonl"
    command = ["label", *TEACHER, f"output={output}", f"input={tmp_path}/texts.txt"]
    assert main.run(command) == main.run(command) == 0  # a file of kdrun label may be replaced
    table = read_table(output, compose.load_config(TEACHER).task)
    assert len(table.keys) == 2
    assert [json.loads(line).get("text") for line in output.read_text().splitlines()[1:]] == [
        "a good film",
        "a bad one",
    ]
    (tmp_path / "other.jsonl").write_text('{"text": "precious"}\n')
    assert main.run(["label", "method=finetune", f"output={tmp_path}/other.jsonl"]) == 2
    message = capsys.readouterr().err
    assert "other.jsonl: it exists" in message
    assert "method=finetune has no teacher" in message


def test_a_prompted_language_model_teaches_a_student(tmp_path: Path) -> None:
    folder = save_language_model("gpt2", tmp_path / "tiny-gpt")
    template = r'teacher.template="Review: {text}\nSentiment:"'
    finished = run(
        tmp_path, "teacher=prompted", f"teacher.path={folder}", template, NOT_TRAINED, "teacher.calibrate=true"
    )
    assert finished.result["teacher"]["name"] == "tiny-gpt (prompted)"
    assert finished.result["data"]["train_rows_read_for_teacher"] == 0
    assert "negative, positive after 'Review: {text}\\nSentiment:'" in finished.output
