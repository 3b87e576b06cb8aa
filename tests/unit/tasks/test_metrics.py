"""Metrics: values by hand, undefined values, errors, and the `evaluate` wrapper."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as skm

from kdrun import registry
from kdrun.config.task import TaskConfig
from kdrun.errors import ConfigError, DataError, TrainingError
from kdrun.tasks import metrics
from kdrun.tasks.glue_metric import configurations
from tests.helpers import forked
from tests.helpers.paths import ROOT

# true positives 2, false positives 1, false negatives 1, true negatives 1
PREDICTED, GOLD = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 1, 1])
CLASSES = TaskConfig(name="mrpc", labels=["no", "yes"], metrics=["accuracy", "f1", "mcc"], headline="f1")
SCORES = TaskConfig(name="stsb", range=[0, 5], metrics=["pearson", "spearman"], headline="pearson")


def one(name: str, predictions: Any, references: Any) -> float | None:
    return metrics.compute([name], np.array(predictions), np.array(references))[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("accuracy", 3 / 5), ("f1", 2 * 2 / (2 * 2 + 1 + 1)), ("mcc", (2 * 1 - 1 * 1) / (3 * 3 * 2 * 2) ** 0.5)],
)
def test_class_metrics_by_hand(name: str, expected: float) -> None:
    assert one(name, PREDICTED, GOLD) == pytest.approx(expected)


def test_f1_is_of_class_1() -> None:
    assert one("f1", [1, 1, 1, 1], [0, 0, 0, 1]) == pytest.approx(2 / (2 + 3))
    assert one("f1", [0, 0, 0, 0], [1, 1, 1, 0]) == 0.0


def test_mcc_of_three_classes() -> None:
    # Gorodkin's R_K: correct·rows − Σ predicted·gold = 3·4 − 5, over √(16 − 6)·√(16 − 6)
    assert one("mcc", [0, 1, 2, 2], [0, 1, 2, 1]) == pytest.approx(7 / 10)


def test_macro_f1_of_three_classes() -> None:
    # class 0: 1; class 1: 2·1/(2·1 + 0 + 1); class 2: 2·1/(2·1 + 1 + 0)
    assert one("macro_f1", [0, 1, 2, 2], [0, 1, 2, 1]) == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


SHAPES = [2, 5, "sets"]
"""Two classes, five classes, and label sets of four."""


def random_answers(shape: Any, seed: int, rows: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gold answers, predictions and probabilities; every class has rows."""
    stream = np.random.default_rng(seed)
    if shape == "sets":
        gold, probabilities = stream.integers(0, 2, (rows, 4)), stream.random((rows, 4)).round(1)
        return gold, (probabilities > 0.5).astype(int), probabilities
    gold, probabilities = np.arange(rows) % shape, stream.dirichlet(np.ones(shape), rows).round(2)
    return gold, probabilities.argmax(axis=1), probabilities


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_scikit_learn(shape: Any, seed: int) -> None:
    gold, predicted, probabilities = random_answers(shape, seed)
    expected = {f"{name}_f1": skm.f1_score(gold, predicted, average=name) for name in ("macro", "micro", "weighted")}
    binary = gold if shape == "sets" else np.eye(shape)[gold]
    first = 1 if shape == 2 else 0  # of two classes, class 1 counts
    columns = list(zip(binary.T[first:], probabilities.T[first:], strict=True))
    expected["roc_auc"] = np.mean([skm.roc_auc_score(*column) for column in columns])
    expected["average_precision"] = np.mean([skm.average_precision_score(*column) for column in columns])
    expected["exact_match" if shape == "sets" else "accuracy"] = skm.accuracy_score(gold, predicted)
    if shape != "sets":
        expected["mcc"] = skm.matthews_corrcoef(gold, predicted)
    if shape == 2:
        expected["f1"] = skm.f1_score(gold, predicted)
    of_ranks = ["roc_auc", "average_precision"]
    computed = metrics.compute(list(expected), predicted, gold, probabilities)
    close = {name: expected.pop(name) for name in of_ranks}
    assert {name: computed.pop(name) for name in of_ranks} == pytest.approx(close, abs=1e-12)
    assert computed == expected  # to the bit


def test_metrics_of_label_sets_leave_out_classes_without_rows() -> None:
    gold, predicted = np.array([[1, 0, 0], [1, 0, 0]]), np.array([[1, 0, 0], [0, 0, 0]])
    assert one("macro_f1", predicted, gold) == pytest.approx(2 / 3)
    empty = np.zeros((2, 3), int)
    names = ["macro_f1", "micro_f1", "weighted_f1"]
    assert metrics.compute(names, empty, empty) == dict.fromkeys(names)
    assert one("exact_match", empty, empty) == 1.0


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_a_ranking_without_a_class_is_none_with_a_reason(name: str) -> None:
    probabilities = np.array([[0.2, 0.8, 0], [0.5, 0.5, 0]])
    assert metrics.compute([name], np.array([1, 0]), np.array([1, 0]), probabilities)[name] is None
    assert "class has no row" in metrics.undefined_reason(name)
    with pytest.raises(ValueError, match=rf"{name} needs the probabilities"):
        one(name, [0, 1], [0, 1])
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        metrics.compute([name], np.zeros(3, int), np.zeros(3, int), probabilities)
    with pytest.raises(TrainingError, match="probabilities are not finite"):
        metrics.compute([name], np.zeros(2, int), np.zeros(2, int), probabilities * np.nan)


def test_a_metric_of_a_plugin_gets_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._entries, "metric", dict(registry.entries("metric")))

    @registry.register("metric", "brier", answers=("classes", "label sets"), needs_probabilities=True)
    def brier(probabilities: np.ndarray, references: np.ndarray) -> float:
        gold = np.eye(probabilities.shape[1])[references] if references.ndim == 1 else references
        return -float(np.square(probabilities - gold).mean())

    shares = np.array([[0.25, 0.75], [1.0, 0.0]])
    assert metrics.compute(["brier"], np.array([1, 0]), np.array([1, 0]), shares) == {"brier": -0.0625 / 2}
    assert brier(shares, np.array([[0, 1], [1, 0]])) == -0.0625 / 2
    assert "brier" not in metrics.vector_metrics()


def test_the_best_constant_label_set_by_metric() -> None:
    gold = np.array([[1, 0, 0]] * 5 + [[1, 1, 0]] * 3 + [[0, 0, 1]] * 2)
    names = ["exact_match", "micro_f1", "macro_f1", "roc_auc", "average_precision"]
    scores = metrics.label_set_baseline(names, gold)
    assert scores == pytest.approx(
        {
            "exact_match": 0.5,  # the first class alone
            "micro_f1": 2 * 8 / (10 + 13),  # likewise; both frequent classes have 22/33
            "macro_f1": (16 / 18 + 6 / 13 + 4 / 12) / 3,
            "roc_auc": 0.5,
            "average_precision": (0.8 + 0.3 + 0.2) / 3,
        }
    )


def test_perfect_and_inverted() -> None:
    assert metrics.compute(["accuracy", "f1", "mcc"], GOLD, GOLD) == {"accuracy": 1.0, "f1": 1.0, "mcc": 1.0}
    assert one("mcc", 1 - GOLD, GOLD) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("name", "x", "y", "expected"),
    [
        ("pearson", [1, 2, 3, 4], [1, 3, 2, 4], 4 / 5),
        ("spearman", [1, 2, 3, 4], [1, 3, 2, 4], 4 / 5),
        ("pearson", [1, 2, 3, 4], [1, 4, 9, 16], 25 / (5 * 129) ** 0.5),
        ("spearman", [1, 2, 3, 4], [1, 4, 9, 16], 1.0),
        ("spearman", [1, 1, 2], [1, 2, 3], 1.5 / 3**0.5),  # a tie takes the mean rank
        ("pearson", [0.0, 5.0], [3.0, 1.0], -1.0),
    ],
)
def test_correlations_by_hand(name: str, x: list[float], y: list[float], expected: float) -> None:
    assert one(name, x, y) == pytest.approx(expected)


def test_order_and_type_of_the_result() -> None:
    scores = metrics.compute(["mcc", "accuracy"], PREDICTED, GOLD)
    assert list(scores) == ["mcc", "accuracy"]
    assert all(type(value) is float for value in scores.values())


def test_mcc_of_a_constant_is_zero_by_convention() -> None:
    assert one("mcc", [1, 1, 1], [0, 1, 1]) == 0.0
    assert one("mcc", [0, 1, 1], [1, 1, 1]) == 0.0
    assert one("mcc", [1, 1], [1, 1]) == 0.0


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("x", "y"),
    [([2.5, 2.5, 2.5], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]), ([1.0], [2.0])],
)
def test_undefined_correlation_is_none(name: str, x: Any, y: Any) -> None:
    assert one(name, x, y) is None


def test_variation_within_rounding_is_no_variation() -> None:
    x, y = np.array([1.0, 1.0 + 2.3e-16, 1.0]), np.array([1.0, 2.0, 3.0])
    assert one("pearson", x, y) is None


def test_f1_without_class_1_is_none() -> None:
    assert one("f1", [0, 0], [0, 0]) is None


def test_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"predictions \[8, 1\] and references \[8\]"):
        one("pearson", np.zeros((8, 1)), np.zeros(8))
    with pytest.raises(ValueError, match="same length"):
        one("accuracy", [0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match=r"accuracy scores classes.*\[2, 2\]"):
        one("accuracy", np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"exact_match scores label sets.*\[2\]"):
        one("exact_match", np.zeros(2), np.zeros(2))


@pytest.mark.parametrize("name", metrics.vector_metrics())
def test_no_rows_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="no rows to score"):
        one(name, [], [])


@pytest.mark.parametrize("name", metrics.vector_metrics())
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    with pytest.raises(TrainingError, match="1 of 3 predictions are not finite, the first in row 1"):
        one(name, [0.0, bad, 1.0], [0.0, 1.0, 1.0])
    with pytest.raises(DataError, match="references are not finite"):
        one(name, [0.0, 1.0, 1.0], [0.0, bad, 1.0])


def test_values_that_are_no_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got 0\.7; take the argmax"):
        one("accuracy", [0.0, 0.7], [0, 1])
    with pytest.raises(ValueError, match=r"f1 .*\[0, 1, 2\]"):
        one("f1", [0, 2], [0, 1])
    with pytest.raises(ValueError, match="must be numbers"):
        one("accuracy", ["a", "b"], ["a", "b"])


def test_unknown_names_are_all_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        metrics.compute(["acuracy", "bleu"], PREDICTED, GOLD)
    assert len(caught.value.problems) == 2
    assert "did you mean 'accuracy'?" in caught.value.problems[0]
    assert all(name in caught.value.problems[1] for name in metrics.vector_metrics())


def test_majority_of_classes() -> None:
    scores = metrics.majority_baseline(CLASSES, np.array([0, 1, 1, 1]))
    assert scores == {"accuracy": 3 / 4, "f1": pytest.approx(2 * 3 / (2 * 3 + 1)), "mcc": 0.0}


def test_of_equally_frequent_classes_majority_takes_the_lowest() -> None:
    assert metrics.majority_baseline(CLASSES, np.array([1, 0]))["f1"] == 0.0


def test_majority_f1_without_class_1_is_none() -> None:
    assert metrics.majority_baseline(CLASSES, np.array([0, 0]))["f1"] is None


def test_majority_of_scores_is_zero_correlation() -> None:
    scores = metrics.majority_baseline(SCORES, np.array([0.0, 2.0, 5.0]))
    assert scores == {"pearson": 0.0, "spearman": 0.0}


@pytest.mark.parametrize("labels", [[], [-1, 0], [0, 2], [0.5, 1.0], [float("nan"), 1.0]])
def test_majority_refuses_labels_that_are_none(labels: list[float]) -> None:
    with pytest.raises(DataError):
        metrics.majority_baseline(CLASSES, np.array(labels))


def test_the_nine_tasks_report_what_glue_reports() -> None:
    tasks = configurations.task_metrics()
    assert tasks["cola"] == ["mcc"]
    assert tasks["mrpc"] == tasks["qqp"] == ["f1", "accuracy"]
    assert tasks["stsb"] == ["pearson", "spearman"]
    assert all(tasks[name] == ["accuracy"] for name in ("sst2", "mnli", "qnli", "rte", "wnli"))


def test_names_of_an_evaluate_configuration() -> None:
    assert configurations.metric_names("mrpc") == ["f1", "accuracy"]
    assert configurations.metric_names("mcc, pearson") == ["mcc", "pearson"]
    with pytest.raises(ConfigError, match="did you mean 'mrpc'"):
        configurations.as_evaluate_metric("mrcp")


def run_python(code: str, **env: str) -> str:
    full = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = forked.without_torch().run(code, env=full)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_metrics_loads_nothing_slow() -> None:
    slow = {"sklearn", "scipy", "evaluate", "datasets", "torch"}
    loaded = json.loads(run_python("import json, sys, kdrun.tasks.metrics; print(json.dumps(list(sys.modules)))"))
    assert not slow & set(loaded)


def test_by_domain_is_the_plain_mean_over_the_domains_present() -> None:
    gold, predicted = np.array([0, 1, 1, 0, 1, 1]), np.array([0, 0, 1, 0, 1, 0])
    domains = np.array([2, 2, 2, 2, 0, 0])
    scores = metrics.by_domain(["accuracy"], predicted, gold, domains, ["a", "b", "c"])
    # 3 of 4 and 1 of 2: the mean over domains is not the mean over rows, 4 of 6
    assert scores == {"accuracy": 0.625, "accuracy_a": 0.5, "accuracy_c": 0.75}
    assert list(scores) == ["accuracy", "accuracy_a", "accuracy_c"]


def test_by_domain_of_one_domain_and_of_several_metrics() -> None:
    gold, predicted = np.array([0, 1, 1]), np.array([0, 0, 1])
    scores = metrics.by_domain(["f1", "accuracy"], predicted, gold, np.array([1, 1, 1]), ["a", "b"])
    assert scores["accuracy"] == scores["accuracy_b"] == pytest.approx(2 / 3)
    assert scores["f1"] == scores["f1_b"] == pytest.approx(2 / 3)
    assert set(scores) == {"f1", "accuracy", "f1_b", "accuracy_b"}


def test_a_mean_over_domains_is_undefined_where_one_of_them_is() -> None:
    scores = metrics.by_domain(["f1"], np.array([1, 0, 0]), np.array([1, 0, 0]), np.array([0, 1, 1]), ["a", "b"])
    assert scores == {"f1": None, "f1_a": 1.0, "f1_b": None}


def test_the_majority_class_is_the_same_for_all_domains() -> None:
    task = replace(CLASSES, domains=["a", "b"])
    scores = metrics.majority_baseline(task, np.array([1, 1, 1, 0, 0, 1]), np.array([0, 0, 0, 1, 1, 1]))
    # the majority class is 1, which b has once in three rows
    assert scores["accuracy_b"] == pytest.approx(1 / 3)
    assert scores["accuracy"] == pytest.approx((1 + 1 / 3) / 2)


def test_correlations_of_the_baseline_by_domain_are_zero() -> None:
    task = replace(SCORES, domains=["a", "b"])
    scores = metrics.majority_baseline(task, np.array([0.0, 2.0, 5.0, 1.0]), np.array([0, 0, 1, 1]))
    assert scores == dict.fromkeys(["pearson", "spearman", "pearson_a", "pearson_b", "spearman_a", "spearman_b"], 0.0)
