"""Rows besides a task's dev splits."""

import pytest

from kdrun.config.evaluation import EvaluationConfig, ReportedRows, with_held_out
from kdrun.config.task import TaskConfig

TASK = TaskConfig(name="a", labels=["no", "yes"], rows={"train": 90, "dev": 10})


@pytest.mark.parametrize("rows", [None, 0, -1])
def test_without_held_out_rows_the_task_stays(rows: int | None) -> None:
    assert with_held_out(TASK, EvaluationConfig(held_out=rows)) is TASK


@pytest.mark.parametrize("report", ReportedRows)
def test_held_out_rows_are_the_last_and_reported_split(report: ReportedRows) -> None:
    task = with_held_out(TASK, EvaluationConfig(held_out=20, report=report))
    assert list(task.rows.items()) == [("train", 90), ("dev", 10), (report.value, 20)]
    assert task.report_split == report.value
    assert task.without_held_out() == TASK
