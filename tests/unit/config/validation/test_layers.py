"""Depths of student and teacher, known before a model is built."""

import json
from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.config.validation.layers import depth_mismatch, layer_problems, num_layers


@pytest.mark.parametrize(("student", "teacher"), [(1, 1), (1, 7), (6, 12), (4, 12), (12, 12)])
def test_depths_that_divide_pair_up(student: int, teacher: int) -> None:
    assert depth_mismatch(student, teacher) == ""


@pytest.mark.parametrize(
    ("student", "teacher", "fitting"), [(5, 12, "1, 2, 3, 4, 6, 12"), (8, 4, "1, 2, 4"), (0, 6, "1, 2, 3, 6")]
)
def test_other_depths_are_named_with_those_that_would_fit(student: int, teacher: int, fitting: str) -> None:
    text = depth_mismatch(student, teacher)
    assert f"{student} layers and the teacher {teacher}" in text
    assert f"of {fitting} layers" in text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["student=layers_of", "student.layers=[0,2,5]"], 3),
        (["student=scratch", "student.sizes={num_hidden_layers:4}"], 4),
        (["student=scratch", "student.architecture=distilbert", "student.sizes={num_hidden_layers:5}"], 5),
    ],
)
def test_the_depth_of_a_section(overrides: list[str], expected: int) -> None:
    assert num_layers(compose.to_config(compose.compose(["method=finetune", *overrides])).student) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"model_type": "bert", "num_hidden_layers": 9}, 9),
        ({"model_type": "distilbert", "n_layers": 6}, 6),
        ({"model_type": "a family without an entry", "num_hidden_layers": 3}, 3),
        ({"model_type": "bert", "num_hidden_layers": "many"}, None),
        ({"model_type": "bert"}, None),
        ([], None),
        ("{", None),
    ],
)
def test_the_depth_of_a_folder_is_read_from_its_config(content: object, expected: int | None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    config = compose.to_config(compose.compose(["student=pretrained", f"student.path={tmp_path}"]))
    assert num_layers(config.student) == expected


def test_an_unknown_depth_is_no_problem_and_a_misfit_is_one_of_the_student() -> None:
    config = compose.to_config(compose.compose(["student=scratch", "student.sizes={num_hidden_layers:5}"]))
    teacher = compose.to_config(compose.compose(["teacher=scratch", "teacher.sizes={num_hidden_layers:12}"])).teacher
    (problem,) = layer_problems(config.student, teacher)  # pyright: ignore[reportArgumentType]
    assert (problem.key, problem.value) == ("student", 5)
    hub = compose.to_config(compose.compose(["student=pretrained", "student.hub=a/b"])).student
    assert list(layer_problems(hub, teacher)) == []  # pyright: ignore[reportArgumentType]
