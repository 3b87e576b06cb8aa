"""Flags -q and -v."""

from typing import Any

from kdrun.cli import verbosity


def test_the_line_of_a_quiet_run_has_its_score_in_percent() -> None:
    result: Any = {
        "method": "kd",
        "data": {"name": "SST-2"},
        "headline": {"split": "dev", "metric": "accuracy"},
        "student": {"metrics": {"dev": {"accuracy": 0.936}}},
    }
    assert verbosity.score_line(result) == "kd on SST-2: dev accuracy 93.6 %"
