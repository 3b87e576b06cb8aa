"""Meta-KD through the real entry point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification

from kdrun.config.schema import RunConfig
from kdrun.console import QuietConsole
from kdrun.runs import runner
from tests.helpers.embedded_rows import fewer_rows
from tests.helpers.runs import finish, read_lines, smoke_config

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.fixture(scope="module", autouse=True)
def few_dev_rows() -> Iterator[None]:
    """Ten rows per domain and class in dev and test."""
    with fewer_rows("amazon", dev=80, test=80):
        yield


def smoke(tmp_path: Path, *overrides: str) -> RunConfig:
    return smoke_config(tmp_path, "task=amazon", "teacher.allow_weak=true", *overrides)


def test_one_student_for_each_domain_from_one_teacher(tmp_path: Path) -> None:
    result, folder, _ = finish(smoke(tmp_path, "method=meta_kd"))
    names = ["books", "dvd", "electronics", "kitchen"]
    assert list(result["domains"]) == names
    scores = result["student"]["metrics"]["test"]
    assert scores["accuracy"] == pytest.approx(sum(scores[f"accuracy_{name}"] for name in names) / 4)
    predicted = read_lines(folder / "predictions.jsonl")
    tested = [row for row in predicted if row["split"] == "test"]
    assert [row["id"] for row in tested] == list(range(80))
    for name in names:
        part = [row for row in tested if row["domain"] == name]
        assert len(part) == 20
        right = sum(row["prediction"] == row["gold"] for row in part) / 20
        assert scores[f"accuracy_{name}"] == pytest.approx(right)
        AutoModelForSequenceClassification.from_pretrained(folder / "domains" / name / "student")
    domain_result = json.loads((folder / "domains" / "dvd" / "result.json").read_text())
    assert domain_result["data"]["rows_by_domain"]["train"] == {"books": 0, "dvd": 16, "electronics": 0, "kitchen": 0}
    assert domain_result["data"]["rows_read_for_teacher_by_domain"] == dict.fromkeys(names, 16)
    assert domain_result["data"]["train_rows_read_for_teacher"] == 64


def test_a_held_out_domain_is_not_read_by_the_teacher(tmp_path: Path) -> None:
    words = ["method.domain=dvd", "method.hold_out_domain=true"]
    for method in (["method=meta_kd"], ["method=tinybert_kd", "teacher.domain_strategy=mixed"]):
        data = finish(smoke(tmp_path, *method, *words)).result["data"]
        counts = data["rows_read_for_teacher_by_domain"]
        assert counts == {"books": 16, "dvd": 0, "electronics": 16, "kitchen": 16}
        assert data["train_rows_read"] == 16


@pytest.mark.parametrize("lessons", ["single", "mixed", "multi_task", "meta"])
def test_the_baselines_differ_in_their_teacher_alone(tmp_path: Path, lessons: str) -> None:
    words = ["method=tinybert_kd", "method.domain=books", f"teacher.domain_strategy={lessons}"]
    data = finish(smoke(tmp_path, *words)).result["data"]
    others = 0 if lessons == "single" else 16
    counts = {"books": 16, "dvd": others, "electronics": others, "kitchen": others}
    assert data["rows_read_for_teacher_by_domain"] == counts
    assert data["train_rows_read"] == 16


def test_a_share_of_the_target_domain(tmp_path: Path) -> None:
    words = ["method=meta_kd", "method.domain=books", "data.max_train_rows=null", "data.train_fraction=0.01"]
    data = finish(smoke(tmp_path, *words, "teacher.finetune_optim.steps=160")).result["data"]
    assert data["train_rows_read"] == 16
    assert data["rows_read_for_teacher_by_domain"]["books"] <= 16
    assert data["rows_read_for_teacher_by_domain"]["dvd"] > 1000


def test_kept_states_are_the_computed_ones(tmp_path: Path) -> None:
    words = ["method=meta_kd", "method.domain=books"]
    folders = [finish(smoke(tmp_path, *words, f"method.teacher_states={how}")).run_dir for how in ("recompute", "keep")]
    logs = [read_lines(folder / "metrics.jsonl") for folder in folders]
    for one, other in zip(*logs, strict=True):
        for key in ("hidden", "attention", "domain", "soft"):
            assert (key in one) == (key in other)
            if key in one:
                assert one[key] == pytest.approx(other[key], rel=2e-3, abs=2e-5)


def test_a_dry_run_tries_the_first_domain(tmp_path: Path) -> None:
    assert runner.run(smoke(tmp_path, "method=meta_kd", "dry_run=true"), QuietConsole()) is None
    assert not (tmp_path / "out").exists()
