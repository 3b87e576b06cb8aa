"""Time of a batch from a few measured ones."""

import pytest

from kdrun.runs.estimate import seconds_at


def test_a_line_gives_the_constant_part_and_the_part_per_token() -> None:
    points = [(tokens, 0.5 + 0.01 * tokens) for tokens in (100, 200, 300, 400)]
    assert seconds_at(1000, points) == pytest.approx(10.5)
    assert seconds_at(1000, [(100, 1.0), (400, 4.0)], is_proportional=True) == pytest.approx(10)


def test_noise_gives_no_negative_time() -> None:
    assert seconds_at(1000, [(100, 2.0), (200, 1.0)]) == pytest.approx(1.5)  # longer batches took less time
    assert seconds_at(10, [(100, 1.0), (200, 3.0)]) == pytest.approx(10 * 700 / 50000)  # a line below zero at 0
    assert seconds_at(200, [(100, 1.0), (100, 3.0)]) == pytest.approx(4)
