"""Agreement of a student with its teacher, by hand."""

import numpy as np
import pytest

from kdrun.tasks import agreement


def logits(*probabilities: list[float]) -> np.ndarray:
    """Logits of these probabilities, shifted by another constant in each row."""
    return (np.log(np.array(probabilities)) + np.arange(len(probabilities))[:, None]).astype(np.float32)


def test_agreement_of_classes_by_hand() -> None:
    teacher, student = logits([0.75, 0.25], [0.5, 0.5], [0.2, 0.8]), logits([0.5, 0.5], [0.25, 0.75], [0.2, 0.8])
    values = agreement.of_classes(student, teacher)
    first = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    second = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    assert values["agreement"] == pytest.approx(2 / 3)  # the teacher's tie in row 1 is class 0, as everywhere
    assert values["teacher_kl"] == pytest.approx((first + second) / 3, abs=1e-6)
    equal = agreement.of_classes(teacher, teacher)
    assert equal == {"agreement": 1.0, "teacher_kl": 0.0}


def test_the_divergence_is_from_the_teacher_and_finite_for_extreme_logits() -> None:
    teacher, student = np.array([[200.0, 0.0]], np.float32), np.array([[0.0, 200.0]], np.float32)
    assert agreement.of_classes(student, teacher) == {"agreement": 0.0, "teacher_kl": pytest.approx(200)}
    one_way = agreement.of_classes(logits([0.5, 0.5]), logits([0.9, 0.1]))["teacher_kl"]
    assert one_way == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2), abs=1e-6)


def test_agreement_of_label_sets_by_hand() -> None:
    teacher = np.log(np.array([[3.0, 1 / 3], [1.0, 4.0]]))  # odds
    student = np.log(np.array([[2.0, 2.0], [0.5, 4.0]]))
    values = agreement.of_label_sets(student, teacher)
    assert values["agreement"] == 0.5  # odds of exactly 1 are no label, as in predictions

    def divergence(p: float, q: float) -> float:
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    expected = (divergence(3 / 4, 2 / 3) + divergence(1 / 4, 2 / 3) + divergence(1 / 2, 1 / 3)) / 4
    assert values["teacher_kl"] == pytest.approx(expected)


def test_scores_and_texts_have_their_own_measures() -> None:
    teacher = np.array([1.0, 2.0, 4.0])
    assert agreement.of_scores(2 * teacher + 1, teacher) == {"teacher_pearson": pytest.approx(1.0)}
    assert agreement.of_scores(np.ones(3), teacher) == {"teacher_pearson": None}
    assert agreement.of_texts(["a", "b "], ["a", "b"]) == {"agreement": 0.5}
