"""Default layer of the teacher and number of relation heads."""

from __future__ import annotations

import pytest

from kdrun.models.relations import layer_of_teacher, num_relation_heads


@pytest.mark.parametrize(
    ("depth", "layer", "expected"), [(4, None, 4), (12, None, 12), (24, None, 21), (24, 19, 19), (4, 2, 2)]
)
def test_the_layer_of_the_teacher(depth: int, layer: int | None, expected: int) -> None:
    assert layer_of_teacher(layer, depth) == expected


@pytest.mark.parametrize(
    ("requested", "student", "teacher", "expected"),
    [
        (None, 384, 768, 48),
        (None, 768, 768, 48),
        (None, 384, 1024, 64),
        (None, 768, 1024, 64),
        (None, 128, 384, 16),
        (None, 12, 16, 2),
        (None, 5, 7, 1),
        (4, 12, 16, 4),
    ],
)
def test_the_number_of_relation_heads(requested: int | None, student: int, teacher: int, expected: int) -> None:
    assert num_relation_heads(requested, student, teacher, "key") == expected
