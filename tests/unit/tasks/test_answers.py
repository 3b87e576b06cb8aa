"""Answers by column, and the rounding of probabilities."""

import numpy as np

from kdrun.tasks.answers import Answers, by_name, columns_by_name, rounded


def test_rounding_is_that_of_python() -> None:
    generator = np.random.default_rng(0)
    near_ties = (np.arange(2000) + 0.5) * 1e-6  # as floats, on either side of the middle
    for values in (generator.random(5000), generator.random(5000).astype(np.float32), near_ties, np.array([2.0**-7])):
        assert rounded(values).tolist() == [round(float(value), 6) for value in values]


def test_columns_and_rows_of_probabilities() -> None:
    probabilities = np.array([[0.25, 0.75], [1 / 3, 2 / 3]])
    assert columns_by_name(probabilities, ["a", "b"]) == {"a": [0.25, 0.333333], "b": [0.75, 0.666667]}
    assert by_name(probabilities, ["a", "b"]) == [{"a": 0.25, "b": 0.75}, {"a": 0.333333, "b": 0.666667}]


def test_gaps_have_empty_values_in_their_places() -> None:
    answers = Answers({"prediction": ["x", "y"], "cut": [True, False]}, {"a": [0.1, 0.2]})
    records = answers.with_gaps({0, 2}, {"cut": False}).records()
    empty = {"prediction": None, "cut": False, "probabilities": {"a": None}}
    assert records[0] == records[2] == empty
    assert [record["prediction"] for record in records] == [None, "x", None, "y"]
    assert answers.with_gaps(set(), {}) is answers


def test_no_rows() -> None:
    none = Answers({"prediction": []}, {"a": []})
    assert none.records() == []
    assert none.with_gaps({0, 1}, {}).records() == [{"prediction": None, "probabilities": {"a": None}}] * 2
