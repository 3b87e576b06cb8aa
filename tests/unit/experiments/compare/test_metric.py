"""The metric of a comparison: one of the task's, or agreement with the teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special

from kdrun.config.task import TaskConfig
from kdrun.errors import ConfigError, DataError
from kdrun.experiments.compare import metric, plan, resampling
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.options import CompareOptions

TASK = TaskConfig(name="t", labels=["no", "yes"], metrics=["accuracy"], headline="accuracy")
GOLD = ["no", "yes", "no", "yes", "no"]


def arm(tmp_path: Path, name: str, predicted: str, teacher: str | None = None, groups: list[int] | None = None) -> Arm:
    """An arm with one finished run, whose predictions on dev may have those of a teacher."""
    folder, rows = tmp_path / name, list[dict[str, Any]]()
    folder.mkdir()
    for i, (gold, prediction) in enumerate(zip(GOLD, predicted.split(), strict=True)):
        row: dict[str, Any] = {"split": "dev", "gold": gold, "prediction": prediction}
        row |= {"group": groups[i]} if groups is not None else {}
        row |= {"teacher_prediction": teacher.split()[i]} if teacher is not None else {}
        rows.append(row)
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    finished = Arm(name, name, [])
    scores: Any = {"student": {"metrics": {"dev": {"accuracy": 0.5}}}, "guess": {"dev": {"accuracy": 0.5}}}
    scores["teacher"] = None if teacher is None else {"metrics": {"dev": {"accuracy": 0.5}}}
    finished.folders[1], finished.results[1] = folder, scores
    return finished


def student_score(arm: Arm) -> float | None:
    return arm.results[1]["student"]["metrics"]["dev"]["agreement"]


def test_agreement_is_accuracy_with_the_teachers_answers_as_labels(tmp_path: Path) -> None:
    teacher = "yes yes no no no"
    arms = [arm(tmp_path, "kd", "yes yes no no yes", teacher), arm(tmp_path, "mate_kd", "no yes yes no no", teacher)]
    found = metric.read_runs(arms, TASK, "dev", "agreement")
    assert found is not None
    keys, rows = found
    assert keys == [("kd", 1), ("mate_kd", 1)]
    assert rows.predicted.tolist() == [[1, 1, 1, 1, 0], [0, 1, 0, 1, 1]]
    assert rows.gold.tolist() == [1] * 5
    assert [student_score(one) for one in arms] == [pytest.approx(0.8), pytest.approx(0.6)]
    assert arms[0].results[1]["guess"]["dev"]["agreement"] == pytest.approx(0.6)  # the teacher's "no"
    teacher_result = arms[0].results[1]["teacher"]
    assert teacher_result is not None
    assert teacher_result["metrics"]["dev"]["agreement"] == 1
    resampled = resampling.resample("agreement", rows.gold, rows.predicted)
    np.testing.assert_allclose(resampled.mean(axis=0), [0.8, 0.6], atol=0.02)


def test_a_method_without_a_teacher_agrees_with_the_shared_one(tmp_path: Path) -> None:
    arms = [arm(tmp_path, "finetune", "yes no no no no"), arm(tmp_path, "kd", "yes yes no no no", "yes yes no no no")]
    metric.read_runs(arms, TASK, "dev", "agreement")
    assert [student_score(one) for one in arms] == [pytest.approx(0.8), 1.0]
    assert arms[0].results[1]["teacher"] is None


def test_agreement_needs_one_teacher(tmp_path: Path) -> None:
    answers = "yes yes no no no"
    alone = arm(tmp_path, "finetune", answers)
    with pytest.raises(DataError, match=r"metric=agreement: no run .* dev"):
        metric.read_runs([alone], TASK, "dev", "agreement")
    two = [arm(tmp_path, "a", answers, answers), arm(tmp_path, "b", answers, "no yes no no no")]
    metric.read_runs(two, TASK, "dev", "agreement")
    assert [student_score(one) for one in two] == [1.0, pytest.approx(0.8)]  # each with its own teacher
    with pytest.raises(DataError, match=r"finetune, seed 1 .* differ on dev"):
        metric.read_runs([alone, *two], TASK, "dev", "agreement")


def test_whole_groups_are_drawn(tmp_path: Path) -> None:
    finished = arm(tmp_path, "kd", "no yes no no yes", groups=[0, 0, 0, 1, 1])
    found = metric.read_runs([finished], TASK, "dev", "accuracy")
    assert found is not None
    rows = found[1]
    values = resampling.resample("accuracy", rows.gold, rows.predicted, clusters=rows.groups)
    assert set(np.round(values[:, 0], 6).tolist()) == {0.0, 0.6, 1.0}  # both of group 1, one of each, both of group 0
    assert abs((values == 0.6).mean() - 0.5) < 0.05


def test_a_metric_without_statistics_draws_whole_groups_too(monkeypatch: pytest.MonkeyPatch) -> None:
    gold, predicted, groups = np.array([0, 1, 0, 1]), np.array([[0, 1, 1, 0]]), np.array([4, 4, 9, 9])
    expected = resampling.resample("accuracy", gold, predicted, clusters=groups)
    monkeypatch.delitem(resampling.SUFFICIENT_STATISTICS, "accuracy")
    np.testing.assert_allclose(resampling.resample("accuracy", gold, predicted, clusters=groups), expected)


@pytest.mark.parametrize(
    ("overrides", "methods", "parts"),
    [
        (["task=sst2"], ["kd"], ["metric=f1", "accuracy, agreement, teacher_kl"]),
        (["task=stsb"], ["kd"], ["metric=agreement", "teacher_pearson"]),
        (["task=stsb"], ["kd"], ["metric=teacher_kl", "teacher_pearson"]),
        (["task=conll2003", "preset=t5_writer"], ["kd"], ["metric=teacher_kl", "distribution"]),
        (["task=sst2"], ["finetune"], ["metric=agreement", "method=kd"]),
        (["task=sst2", "teacher.seed=1,2"], ["finetune", "kd"], ["metric=agreement", "finetune", "teacher.seed=1"]),
    ],
)
def test_a_metric_that_cannot_be_computed_is_refused(
    overrides: list[str], methods: list[str], parts: list[str]
) -> None:
    name = parts[0].partition("=")[2]
    with pytest.raises(ConfigError) as error:
        metric.check_metric(CompareOptions(metric=name), plan.plan_arms(methods, overrides))
    assert all(part in str(error.value) for part in parts)


def test_metrics_of_the_task_and_agreement_are_allowed() -> None:
    arms = plan.plan_arms(["finetune", "kd"], ["task=mrpc"])
    for name in (None, "accuracy", "f1", "agreement", "teacher_kl"):
        metric.check_metric(CompareOptions(metric=name), arms)


def unlabeled_arm(tmp_path: Path, name: str, student: list[list[float]], teacher: list[list[float]] | None) -> Arm:
    """An arm with one finished run, whose folder has logits on rows without labels."""
    folder, rows = tmp_path / name, list[dict[str, Any]]()
    folder.mkdir()
    for i, logits in enumerate(student):
        row = {"split": "agreement_rows", "group": i // 2, "text": f"row {i}", "logits": logits}
        row["prediction"] = TASK.labels[int(np.argmax(logits))]
        if teacher is not None:
            row |= {"teacher_logits": teacher[i], "teacher_prediction": TASK.labels[int(np.argmax(teacher[i]))]}
        rows.append(row)
    (folder / "agreement.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    finished = Arm(name, name, [])
    scores: Any = {"student": {"metrics": {}}, "guess": {}, "teacher": None if teacher is None else {"metrics": {}}}
    finished.folders[1], finished.results[1] = folder, scores
    return finished


def test_the_divergence_is_computed_by_row_also_without_an_own_teacher(tmp_path: Path) -> None:
    teacher, student = [[0.0, 2.0], [1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]]
    arms = [unlabeled_arm(tmp_path, "finetune", student, None), unlabeled_arm(tmp_path, "kd", teacher, teacher)]
    found = metric.read_runs(arms, TASK, "agreement_rows", "teacher_kl")
    assert found is not None
    keys, rows = found
    assert keys == [("finetune", 1), ("kd", 1)]
    p = [special.softmax(logits) for logits in (teacher[0], student[0])]
    assert rows.predicted[0, 0] == pytest.approx((p[0] * np.log(p[0] / p[1])).sum())
    assert rows.predicted[0, 1] == pytest.approx(0)
    assert rows.predicted[1] == pytest.approx([0, 0, 0])
    assert rows.groups is not None
    assert rows.groups.tolist() == [0, 0, 1]
    metrics = [one.results[1]["student"]["metrics"]["agreement_rows"]["teacher_kl"] for one in arms]
    assert metrics == [pytest.approx(rows.predicted[0].mean()), pytest.approx(0)]
    mean = special.softmax(np.array(teacher), axis=1).mean(axis=0)
    constant = np.mean([(q * np.log(q / mean)).sum() for q in special.softmax(np.array(teacher), axis=1)])
    assert arms[0].results[1]["guess"]["agreement_rows"]["teacher_kl"] == pytest.approx(constant)
    resampled = resampling.resample("teacher_kl", rows.gold, rows.predicted, clusters=rows.groups)
    assert resampled[:, 1] == pytest.approx(0)
    assert len(set(np.round(resampled[:, 0], 9).tolist())) == 3  # both of one group, or one of each


def test_agreement_on_unlabeled_rows_needs_the_same_rows(tmp_path: Path) -> None:
    logits = [[0.0, 2.0], [1.0, 0.0]]
    arms = [unlabeled_arm(tmp_path, "a", logits, logits), unlabeled_arm(tmp_path, "b", logits, logits)]
    metric.read_runs(arms, TASK, "agreement_rows", "agreement")
    assert arms[1].results[1]["student"]["metrics"]["agreement_rows"]["agreement"] == 1.0
    path = arms[1].folders[1] / "agreement.jsonl"
    path.write_text(path.read_text().replace("row 1", "row 9"))
    with pytest.raises(DataError, match=r"b on agreement_rows are of different rows"):
        metric.read_runs(arms, TASK, "agreement_rows", "agreement")
    path.unlink()
    with pytest.raises(DataError, match=r"agreement\.jsonl.*evaluation\.agreement_rows"):
        metric.read_runs(arms, TASK, "agreement_rows", "agreement")


def test_predictions_of_older_versions_have_no_logits(tmp_path: Path) -> None:
    answers = "yes yes no no no"
    with pytest.raises(DataError, match=r"no logits of 2 classes.*metric=teacher_kl"):
        metric.read_runs([arm(tmp_path, "kd", answers, answers)], TASK, "dev", "teacher_kl")
