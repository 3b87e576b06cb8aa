"""Problems of rows: counted, in line order, with the first ones written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data.row_checks import RowProblems, check_classes, check_scores, check_split, check_texts, class_indices
from kdrun.data.splits import make_split
from kdrun.errors import DataError

CLASSES = TaskConfig(name="toy", text=["sentence"], labels=["negative", "positive"])
SCORES = TaskConfig(name="toy", text=["sentence"], range=[0, 5])
TOPICS = TaskConfig(name="topics", text=["text"], labels=["art", "law", "war"], kind=TaskKind.multi_label)
LINES = np.arange(2, 8)


def test_no_problem_raises_nothing() -> None:
    problems = RowProblems("toy/train.tsv")
    problems.add(np.zeros(6, bool), LINES, iter([]))
    problems.raise_if_any()


def test_problems_are_reported_in_line_order_and_all_counted() -> None:
    problems = RowProblems("toy/train.tsv", max_shown=2)
    problems.add(LINES == 7, LINES, iter(["a late problem"]))
    problems.add(LINES <= 4, LINES, iter(["an early problem"] * 2))
    with pytest.raises(DataError) as caught:
        problems.raise_if_any(unit="row", remedy="Fix them.")
    assert str(caught.value).splitlines() == [
        "toy/train.tsv has 4 problems:",
        "  - row 2: an early problem",
        "  - row 3: an early problem",
        "  - … and 2 more",
        "Fix them.",
    ]


def test_rows_without_text_are_problems_and_half_empty_pairs_a_note() -> None:
    problems = RowProblems("toy/train.tsv")
    first: Any = pa.array(["a", " ", "", "d", "e", "f"])
    second: Any = pa.array(["a", "b", " ", "d", "", "f"])
    assert check_texts(problems, [first, second], LINES) == ("2 pairs of toy/train.tsv have an empty text",)
    assert problems.lines == [(4, "the text is empty")]


def test_classes_outside_the_task_are_problems() -> None:
    problems = RowProblems("toy/train.tsv")
    cells = pa.array(["0", "good", "1", "2", "1", "0"])
    check_classes(problems, pa.array([0, None, 1, 2, 1, 0], pa.int32()), cells, CLASSES, LINES)
    assert problems.lines == [
        (3, "the label is 'good'; expected negative or 0, positive or 1"),
        (5, "the label is '2'; expected negative or 0, positive or 1"),
    ]


def test_scores_outside_the_range_are_problems() -> None:
    problems = RowProblems("toy/train.tsv")
    values = pa.array([0.0, 5.0, 5.5, -1.0, None, float("nan")])
    check_scores(problems, values, values, SCORES, LINES)
    assert [line for line, _ in problems.lines] == [4, 5, 6, 7]
    assert problems.lines[0] == (4, "the score is 5.5; expected a number from 0 to 5")


def test_class_names_and_indices_become_indices() -> None:
    found = class_indices(pa.array(["Positive", "0", "negative", "neither", None]), CLASSES)
    assert found.to_pylist() == [1, 0, 0, None, None]
    assert class_indices(pa.array(["1.0", "0.00", "1.5", "1.", "2.0"]), CLASSES).to_pylist() == [1, 0, None, None, None]


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        (
            CLASSES,
            pa.array(["negative", "positive"]),
            r"rows\.csv has labels .* 'negative'.*integers",
        ),
        (CLASSES, pa.array(["negative", "positive"], pa.large_string()), "'negative'"),
        (CLASSES, pa.array([0.0, 1.0]), "0.0"),
        (CLASSES, pa.array([0, 2]), "row 1: the label is 2; expected negative or 0, positive or 1"),
        (SCORES, pa.array(["1.5", "2.5"]), "'1.5'"),
        (TOPICS, pa.array([0, 1]), "a list of 3 values"),
        (TOPICS, pa.FixedSizeListArray.from_arrays(pa.array([0, 1, 1, 1], pa.int8()), 2), "a list of 3 values"),
        (CLASSES, pa.FixedSizeListArray.from_arrays(pa.array([0, 1, 1, 1], pa.int8()), 2), "integers"),
    ],
)
def test_labels_of_any_source_fit_the_task(task: TaskConfig, labels: pa.Array, message: str) -> None:
    split = make_split("train", [pa.array(["a", "b"])], labels, "rows.csv")
    with pytest.raises(DataError, match=message):
        check_split(split, task)


def test_texts_of_any_source_fit_the_task() -> None:
    texts = [pa.array(["a"]), pa.array(["b"])]
    with pytest.raises(DataError, match=r"rows\.csv.*task\.text"):
        check_split(make_split("train", texts, pa.array([0]), "rows.csv"), CLASSES)
    check_split(make_split("train", texts[:1], pa.array([0]), "rows.csv"), CLASSES)


def test_label_sets_fit_a_multi_label_task() -> None:
    labels = pa.FixedSizeListArray.from_arrays(pa.array([0, 1, 1], pa.int8()), 3)
    check_split(make_split("train", [pa.array(["a"])], labels, "rows.csv"), TOPICS)
