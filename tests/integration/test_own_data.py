"""Runs on rows of your own: files in, a complete run out."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from kdrun.config import compose
from kdrun.config.saved_config import expand_config
from kdrun.errors import ConfigError
from kdrun.runs import runner
from kdrun.tasks.evaluator import Evaluator
from tests.helpers import forked
from tests.helpers.runs import Finished, finish, read_lines, smoke_config

ROOT = Path(__file__).resolve().parents[2]
ROWS = 80


def write_files(folder: Path) -> None:
    """Reviews with two classes, test rows, and texts without labels."""
    for name, count in (("reviews", ROWS), ("test", 20)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "review", "stars"])
            for i in range(count):
                writer.writerow([i, f'the "{name}" number {i}, {("dull", "great")[i % 2]}', ("bad", "good")[i % 2]])
    (folder / "more.txt").write_text("".join(f"some other text, number {i}\n" for i in range(40)))


def overrides(folder: Path, *more: str) -> list[str]:
    files = [f"data.train={folder}/reviews.csv", "data.dev=0.25", f"data.test={folder}/test.csv"]
    return ["task=own", "data=files", *files, "student_alone=false", *more]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


class SpiedLabels(dict[str, Any]):
    """Labels by split that record which split is read, in order with other events."""

    events: ClassVar[list[str]] = []

    def __getitem__(self, split: str) -> Any:
        self.events.append(split)
        return super().__getitem__(split)


def spy_on_labels(patch: pytest.MonkeyPatch) -> None:
    """Record the splits whose labels an evaluator reads, and the end of the student's training."""
    make, train = Evaluator.for_splits, runner.train_student

    def make_spied(*args: Any) -> Evaluator:
        evaluator = make(*args)
        return replace(evaluator, labels=SpiedLabels(evaluator.labels))

    def train_and_record(*args: Any) -> Any:
        result = train(*args)
        SpiedLabels.events.append("end of training")
        return result

    patch.setattr(Evaluator, "for_splits", make_spied)
    patch.setattr(runner, "train_student", train_and_record)


@pytest.fixture(scope="module")
def mixed(files: Path, shared_cache: Path) -> Finished:
    """A finished run of kd on labeled and unlabeled rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        patch.setenv("HF_HUB_OFFLINE", "1")
        spy_on_labels(patch)
        words = overrides(files, "method=kd", f"data.unlabelled={files}/more.txt", f"run_dir={files}/run")
        return finish(smoke_config(files, *words, "optim.steps=16"))


@pytest.mark.usefixtures("mixed")
def test_no_model_is_scored_on_the_test_rows_before_the_end_of_training() -> None:
    events = SpiedLabels.events
    end = events.index("end of training")
    assert set(events[:end]) == {"dev"}
    assert "test" in events[end:]


def test_teacher_and_student_have_scores_of_all_splits(mixed: Finished) -> None:
    assert list(mixed.result["teacher"]["metrics"]) == list(mixed.result["student"]["metrics"]) == ["dev", "test"]
    assert all("teacher_prediction" in line for line in read_lines(mixed.run_dir / "predictions.jsonl"))


def test_a_run_reads_labeled_and_unlabeled_rows(mixed: Finished) -> None:
    data = mixed.result["data"]
    assert data["rows"] == {"train": 60, "dev": 20, "test": 20, "unlabelled": 40}
    assert data["train_rows_read"] == data["labels_read"] == 60
    assert data["unlabelled_rows_read"] == 40
    assert data["train_rows_read_for_teacher"] == 60
    assert data["name"] == "reviews"
    assert data["synthetic"] is False


def test_the_test_split_is_reported_and_evaluated_at_the_end_only(mixed: Finished) -> None:
    assert mixed.result["headline"] == {"metric": "accuracy", "split": "test"}
    assert mixed.result["checkpoint"]["split"] == "dev"
    evaluations = [record["eval"] for record in read_lines(mixed.run_dir / "metrics.jsonl") if "eval" in record]
    assert evaluations
    assert {split for scores in evaluations for split in scores} == {"dev"}


def test_the_completed_task_is_in_config_and_student(mixed: Finished) -> None:
    saved = yaml.safe_load((mixed.run_dir / "config.yaml").read_text())
    assert saved["task"]["labels"] == ["bad", "good"]
    assert (saved["task"]["text"], saved["task"]["label"]) == (["review"], ["stars"])
    student = json.loads((mixed.run_dir / "student" / "config.json").read_text())
    assert student["id2label"] == {"0": "bad", "1": "good"}
    again = compose.load_config(expand_config([f"config={mixed.run_dir}/config.yaml"]))
    assert again.task.labels == ["bad", "good"]
    assert again.task.rows == {"train": 60, "dev": 20, "test": 20}
    assert "text in 'review', label in 'stars'" in mixed.output


def test_a_changed_file_is_another_run(mixed: Finished, files: Path, tmp_path: Path) -> None:
    original = (files / "reviews.csv").read_text()
    words = overrides(files, "method=kd", f"data.unlabelled={files}/more.txt", "optim.steps=16")
    try:
        (files / "reviews.csv").write_text(original.replace("number 3,", "number three,"))
        config = smoke_config(tmp_path, *words, f"run_dir={mixed.run_dir}", f"output_dir={files}/out")
        (mixed.run_dir / "result.json").rename(mixed.run_dir / "kept.json")
        with pytest.raises(ConfigError, match=r"data"):
            runner.run(config)
    finally:
        (files / "reviews.csv").write_text(original)
        if (mixed.run_dir / "kept.json").exists():
            (mixed.run_dir / "kept.json").rename(mixed.run_dir / "result.json")


def test_errors_come_before_torch_and_leave_nothing(files: Path, tmp_path: Path) -> None:
    dev = tmp_path / "dev.csv"
    dev.write_text("review,stars\na text,godo\n")
    words = ["method=kd", "task=own", "data=files", f"data.train={files}/reviews.csv", f"data.dev={dev}"]
    words += [f"output_dir={tmp_path}/out"]
    code = f"import sys; from kdrun.cli import main; code = main.run({words!r}); print(code, 'torch' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = forked.without_torch().run(code, env=env, cwd=tmp_path)
    assert done.stdout.split()[-2:] == ["2", "False"], done.stderr
    assert "dev.csv" in done.stderr
    assert "line 2: the label is 'godo'; did you mean 'good'?" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["dev.csv"]
