"""The teachers of the arms."""

from typing import Any

import pytest

from kdrun.experiments.compare import teachers
from kdrun.experiments.compare.arms import Arm
from kdrun.reporting.tables.comparisons import teacher_key


def arm(lessons: str, *books: float) -> Arm:
    """Return an arm on two of amazon's domains, one run per teacher score; the other domain's score is 0.5."""
    words = ["method=tinybert_kd", "task=amazon", "method.domain=all", f"teacher.domain_strategy={lessons}"]
    new_arm = Arm(f"tinybert_kd {lessons}", "tinybert_kd", [*words, "task.domains=[books,dvd]"])
    for seed, score in enumerate(books, start=1):
        scores = {"accuracy": (score + 0.5) / 2, "accuracy_books": score, "accuracy_dvd": 0.5}
        result: Any = {"teacher": {"name": "bert", "metrics": {"test": scores}}}
        new_arm.results[seed] = result
    return new_arm


def teacher_of(single_arm: Arm) -> dict[str, Any]:
    teacher = teachers.teacher_of_arm(single_arm, "test", "accuracy")
    assert teacher is not None
    return teacher


def test_the_teacher_of_an_arm() -> None:
    teacher = teacher_of(arm("single", 0.7, 0.9))
    assert (teacher["name"], teacher["lessons"], teacher["score"]) == ("bert", "single", pytest.approx(0.65))
    assert teacher["by_domain"]["books"] == {"mean": pytest.approx(0.8), "sd": pytest.approx(0.02**0.5)}
    assert teacher["by_domain"]["dvd"] == {"mean": 0.5, "sd": 0.0}
    assert teachers.teacher_of_arm(arm("single"), "test", "accuracy") is None


def test_one_teacher_has_a_score_and_different_ones_have_none() -> None:
    same = [teacher_of(arm("meta", 0.7)), None, teacher_of(arm("meta", 0.7, 0.7, 0.7))]
    assert teachers.shared_teacher(same) == {"name": "bert", "score": 0.6}
    assert teachers.shared_teacher([teacher_of(arm("meta", 0.7)), teacher_of(arm("single", 0.7))]) == {
        "name": "bert",
        "score": None,
    }
    assert teachers.shared_teacher([None]) is None


def test_the_last_digit_makes_no_other_teacher() -> None:
    one, other = teacher_of(arm("meta", 0.1 + 0.2)), teacher_of(arm("meta", 0.3))
    assert one["by_domain"]["books"]["mean"] != other["by_domain"]["books"]["mean"]
    assert teacher_key(one) == teacher_key(other)


def test_a_domain_without_a_score_is_null() -> None:
    assert teachers.scores_by_domain([{"f1_books": None}], "f1", ["books"]) == {"books": {"mean": None, "sd": None}}
