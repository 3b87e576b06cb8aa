"""Checks of the first step of a turn."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from kdrun.errors import TrainingError
from kdrun.methods.base import StepOutput
from kdrun.training.step_checks import check_finite_gradient, check_first_step, weights_changed


def models() -> dict[str, nn.Module]:
    return {"student": nn.Linear(2, 2), "teacher": nn.Linear(2, 2).eval().requires_grad_(False)}


def output(student: nn.Module, **terms: float) -> StepOutput:
    loss = student(torch.ones(3, 2)).sum()
    loss.backward()
    return StepOutput(loss, 3, {name: torch.tensor(value) for name, value in terms.items()})


def test_means_reached_and_unreached_parameters() -> None:
    roles = models()
    student = roles["student"] = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    first_output = output(student[0], hard=6.0)
    report = check_first_step("train", "student", first_output, roles, [student])
    assert report.terms == {"hard": 2.0}
    assert report.num_with_gradient == 2
    assert report.without_gradient == ["student.1.weight", "student.1.bias"]
    assert report.warnings() == []


def test_a_term_that_is_exactly_zero_is_warned_of() -> None:
    roles = models()
    report = check_first_step(
        "train", "student", output(roles["student"], hard=1.0, soft=0.0), roles, [roles["student"]]
    )
    assert report.zero_terms == ["soft"]
    (warning,) = report.warnings()
    assert "'soft' is exactly zero" in warning
    assert replace(report, terms={"hard": 1.0}).warnings() == []


def test_a_gradient_that_reaches_another_role_is_an_error() -> None:
    roles = models()
    roles["teacher"].requires_grad_(True)
    loss = roles["student"](roles["teacher"](torch.ones(3, 2))).sum()
    loss.backward()
    with pytest.raises(TrainingError, match=r"student's turn 2 parameters .*teacher\.weight"):
        check_first_step("train", "student", StepOutput(loss, 3), roles, [roles["student"]])


def test_a_gradient_that_reaches_nothing_is_an_error() -> None:
    roles = models()
    with pytest.raises(TrainingError, match=r"no gradient .* of the student"):
        check_first_step("train", "student", StepOutput(torch.ones(()), 3), roles, [roles["student"]])


def test_a_model_in_training_mode_out_of_its_turn_is_an_error() -> None:
    roles = models()
    roles["teacher"].train()
    with pytest.raises(TrainingError, match="the teacher is in training mode in the student's turn"):
        check_first_step("train", "student", output(roles["student"]), roles, [roles["student"]])


def test_a_first_step_that_moves_nothing_is_warned_of() -> None:
    roles = models()
    report = check_first_step("train", "student", output(roles["student"]), roles, [roles["student"]])
    assert report.warnings() == []
    (warning,) = replace(report, weights_changed=False).warnings()
    assert "changed no weight of the student" in warning


def test_a_gradient_that_is_no_number_names_the_rows() -> None:
    where = ("phase 'train', student's step 3", "; the last checkpoint is of step 2")
    check_finite_gradient(1.0, [4, 5], where)
    for norm in ("nan", "inf"):
        pattern = r"student's step 3: the gradient is not finite on training rows \[4, 5\].*checkpoint is of step 2"
        with pytest.raises(TrainingError, match=pattern):
            check_finite_gradient(float(norm), [4, 5], where)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ([1.0, 0.0], [1.0, 1e-30], False),
        ([1.0, 0.0], [1.0, 0.0], False),
        ([1.0, 0.0], [1.5, 0.0], True),
        ([0.0, 0.0], [0.0, 1e-3], True),
        ([0.0, 0.0], [0.0, 0.0], False),
    ],
)
def test_a_change_within_rounding_is_no_step(before: list[float], after: list[float], moved: bool) -> None:
    assert weights_changed([torch.tensor(before)], [torch.tensor(after)]) is moved
