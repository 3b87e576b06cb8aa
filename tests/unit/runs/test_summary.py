"""Lines of the final report."""

import pytest

from kdrun.runs import summary


@pytest.mark.parametrize(
    ("compression", "text"),
    [(3.0, "3.0x smaller than"), (1 / 8, "8.0x larger than"), (1.0, "as large as"), (1.02, "as large as")],
)
def test_a_student_is_smaller_larger_or_as_large_as_its_teacher(compression: float, text: str) -> None:
    assert summary.relative_size(compression) == text
