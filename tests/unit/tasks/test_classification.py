"""Classification and regression: outputs, records and the model's labels."""

from types import SimpleNamespace

import numpy as np
import pytest

from kdrun.config.task import TaskConfig
from kdrun.tasks.classification import ClassificationTask

CLASSES = ClassificationTask(
    TaskConfig(name="t", labels=["no", "yes"], metrics=["accuracy"], headline="accuracy", domains=["a", "b"])
)
SCORE = ClassificationTask(TaskConfig(name="s", range=[0.0, 5.0], metrics=["pearson"], headline="pearson"))


def test_records_hold_the_class_and_its_probabilities_or_the_score() -> None:
    (record,) = CLASSES.prediction_records(np.array([[0.0, np.log(3)]]), ["text"])
    assert record == {"prediction": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}
    assert SCORE.prediction_records(np.array([[2.5]]), ["text"]) == [{"prediction": 2.5}]


def test_labels_are_named_and_scores_are_numbers() -> None:
    assert CLASSES.label_name(np.int64(1)) == "yes"
    assert SCORE.label_name(3) == 3.0
    assert (CLASSES.describe_outputs(), SCORE.describe_outputs()) == ("no, yes", "a score")


def test_scores_by_domain_have_an_unweighted_mean() -> None:
    logits = np.array([[0, 1], [1, 0], [1, 0]], dtype=np.float32)
    scores = CLASSES.score(logits, np.array([1, 1, 0]), np.array([0, 1, 1]))
    assert scores == {"accuracy": 0.75, "accuracy_a": 1.0, "accuracy_b": 0.5}


@pytest.mark.parametrize(("names", "expected"), [(["no", "yes"], True), (["yes", "no"], False), (["no"], False)])
def test_a_model_matches_with_the_same_classes_in_order(names: list[str], expected: bool) -> None:
    config = SimpleNamespace(num_labels=len(names), id2label=dict(enumerate(names)))
    assert CLASSES.matches_model(config) == (expected, ", ".join(names))


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_model_of_a_score_has_one_output(outputs: int) -> None:
    matches, description = SCORE.matches_model(SimpleNamespace(num_labels=outputs, id2label={}))
    assert matches == (outputs == 1)
    assert str(outputs) in description
