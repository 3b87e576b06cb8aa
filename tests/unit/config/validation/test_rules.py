"""Rules across sections: a task needs training rows and a split to evaluate."""

from __future__ import annotations

import pytest

from kdrun.config import compose
from kdrun.config.validation import rules


@pytest.mark.parametrize("rows", [{}, {"train": 4}, {"dev": 2}])
def test_a_task_without_a_needed_split_is_refused(rows: dict[str, int]) -> None:
    config = compose.to_config(compose.compose(["method=kd", "task=sst2"]))
    assert rules.validate(config) == []
    config.task.rows = rows
    assert [(problem.key, problem.value) for problem in rules.validate(config)] == [("task.rows", rows)]
