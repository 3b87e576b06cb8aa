"""Rules for rows of your own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdrun.config import compose


@pytest.fixture
def rows(tmp_path: Path) -> list[str]:
    """Overrides of a task of 20 rows."""
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"a text of number {i},{i % 2}\n" for i in range(20)))
    (tmp_path / "more.txt").write_text("a new text\n")
    return ["task=own", "data=files", f"data.train={path}", "data.dev=0.2"]


def problems(*overrides: str) -> str:
    return "\n".join(compose.validate_overrides([*overrides], multirun=False))


def test_rows_of_your_own_have_no_problem(rows: list[str]) -> None:
    assert problems(*rows, "method=kd") == ""
    assert compose.load_config([*rows, "task.metrics=[mcc]"]).task.headline == "mcc"


def test_the_own_task_needs_files() -> None:
    assert "task=own is completed by rows of your own, and data=embedded has none" in problems("task=own")
    assert "task.label=stars has no effect" in problems("task=sst2", "task.label=stars")
    assert "task.title=mine is a name in results" in problems("task=own", "task.name=mine")


@pytest.mark.parametrize(
    ("method", "reason"),
    [("finetune", "has no teacher"), ("kd_ood", "learns from the corpus"), ("zskd", "learns from the corpus")],
)
def test_methods_that_cannot_use_unlabeled_rows_refuse_them(rows: list[str], method: str, reason: str) -> None:
    unlabelled = rows[2].replace("data.train", "data.unlabelled").replace("train.csv", "more.txt")
    text = problems(*rows, f"method={method}", unlabelled)
    assert f"method={method} {reason}" in text
    assert "crd, kd, kd_augment, kd_freelb, mate_kd, minilm, pkd, tinybert_kd" in text
    for able in ("crd", "kd", "kd_augment", "kd_freelb", "mate_kd", "minilm", "pkd", "tinybert_kd"):
        assert problems(*rows, f"method={able}", unlabelled, "data.max_unlabelled_rows=1") == ""


def test_a_number_of_unlabeled_rows_needs_such_rows(rows: list[str]) -> None:
    assert "data.max_unlabelled_rows=5 has no effect" in problems(*rows, "method=kd", "data.max_unlabelled_rows=5")


def test_problems_of_files_are_problems_of_the_command_line(rows: list[str], tmp_path: Path) -> None:
    text = problems(*rows[:2], f"data.train={tmp_path}/train.cvs", "data.dev=2", "optim.lr=fast")
    assert "data.train=" in text
    assert "did you mean 'train.csv'?" in text
    assert "data.dev=2" in text
    assert "optim.lr=fast" in text


def test_the_printed_config_has_the_completed_task(rows: list[str]) -> None:
    assert "labels:\n  - '0'\n  - '1'\n" in compose.composed_text(rows)
    assert "label: null" in compose.composed_text(["task=sst2"])
