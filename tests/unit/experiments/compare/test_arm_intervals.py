"""Intervals of an arm's mean score, and of its retention."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kdrun.experiments.compare import arm_intervals

TASK: Any = SimpleNamespace(report_split="dev", headline="accuracy", labels=["a", "b"], is_multi_label=False)
ROWS = 200


def arm(tmp_path: Path, student: list[float], teacher: float | None, *, answers: bool = True) -> Any:
    """An arm with one run per student accuracy; the teacher is right on the first rows, students on the last ones."""
    results, folders = {}, {}
    for seed, accuracy in enumerate(student, start=1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        right = np.arange(ROWS) >= round(ROWS * (1 - accuracy))
        rows = [{"split": "dev", "gold": "a", "prediction": "a" if is_right else "b"} for is_right in right]
        for i, row in enumerate(rows if teacher is not None and answers else []):
            row["teacher_prediction"] = "a" if i < ROWS * (teacher or 0) else "b"
        (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        results[seed] = {
            "student": {"metrics": {"dev": {"accuracy": accuracy}}},
            "teacher": None if teacher is None else {"metrics": {"dev": {"accuracy": teacher}}},
            "guess": {"dev": {"accuracy": 0.5}},
        }
        folders[seed] = folder
    return SimpleNamespace(name="zskd", results=results, folders=folders)


def test_retention_is_the_mean_ratio_with_a_paired_interval(tmp_path: Path) -> None:
    retention = arm_intervals.retention_of_arm(arm(tmp_path, [0.78, 0.8, 0.82], 0.9), TASK)
    assert retention is not None
    assert {key: retention[key] for key in ("metric", "split", "rows")} == {
        "metric": "accuracy",
        "split": "dev",
        "rows": 200,
    }
    assert retention["value"] == pytest.approx(0.8 / 0.9)
    assert retention["majority"] == pytest.approx(0.5 / 0.9)
    low, high = retention["interval"]
    assert (low + high) / 2 == pytest.approx(0.8 / 0.9)
    # delta method: rows where the student errs are those where the teacher is right, so their errors do not cancel
    student, teacher = 0.8, 0.9
    covariance = (0.7 - student * teacher) / ROWS
    relative = (
        (1 - student) / (student * ROWS) + (1 - teacher) / (teacher * ROWS) - 2 * covariance / (student * teacher)
    )
    error = np.sqrt((student / teacher) ** 2 * relative + (0.02 / teacher) ** 2 / 3)
    assert 1.9 * error < (high - low) / 2 < 2.6 * error


def test_equal_models_have_a_retention_of_one_without_an_error(tmp_path: Path) -> None:
    both = arm(tmp_path, [0.8, 0.8], 0.8)
    for folder in both.folders.values():
        path = folder / "predictions.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row | {"teacher_prediction": row["prediction"]}) + "\n" for row in rows))
    retention = arm_intervals.retention_of_arm(both, TASK)
    assert retention is not None
    assert retention["interval"] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("teacher", [None, 0.0])
def test_without_a_teachers_score_there_is_no_retention(tmp_path: Path, teacher: float | None) -> None:
    assert arm_intervals.retention_of_arm(arm(tmp_path, [0.8, 0.8], teacher), TASK) is None


def test_without_the_teachers_answers_or_with_one_seed_there_is_no_interval(tmp_path: Path) -> None:
    retention = arm_intervals.retention_of_arm(arm(tmp_path, [0.8, 0.82], 0.9, answers=False), TASK)
    assert retention is not None
    assert (retention["value"], retention["interval"], retention["rows"]) == (pytest.approx(0.9), None, None)
    (tmp_path / "one").mkdir()
    single = arm_intervals.retention_of_arm(arm(tmp_path / "one", [0.8], 0.9), TASK)
    assert single is not None
    assert single["interval"] is None


def test_the_mean_of_an_arm_has_an_interval_over_seeds_and_examples(tmp_path: Path) -> None:
    of_arm = arm(tmp_path, [0.78, 0.8, 0.82], None)
    resampled = np.random.default_rng(0).normal(0.8, 0.02, 2000)
    values = {("zskd", seed): 0.76 + 0.02 * seed for seed in (1, 2, 3)}
    by_run = {("zskd", seed): resampled for seed in (1, 2, 3)}
    intervals = arm_intervals.arm_intervals(of_arm, {**values, ("kd", 1): 0.9}, by_run, TASK)
    low, high = intervals["interval"]
    assert (low + high) / 2 == pytest.approx(0.8)
    assert high - low > 2 * 1.96 * np.sqrt(0.02**2 + 0.02**2 / 3)  # t with few degrees of freedom is wider
    assert intervals["retention"] is None
    of_arm.results = {}
    assert arm_intervals.arm_intervals(of_arm, {}, {}, TASK) == {"interval": None, "retention": None}
