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


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["method=kd", "method.hard_weight=0", "method.soft_weight=0"], "method.hard_weight"),
        (["method=pkd", *(f"method.{name}_weight=0" for name in ("hard", "soft", "patience"))], "method.hard_weight"),
        (["method=zskd", "method.soft_weight=0", "method.pseudo_weight=0"], "method.soft_weight"),
        (
            ["method=kd_augment", *(f"method.{name}_weight=0" for name in ("hard", "soft", "pseudo"))],
            "method.hard_weight",
        ),
        (
            [
                "method=dfkd_t3",
                "generator=t5_tiny",
                *(
                    f"method.{name}_weight=0"
                    for name in ("specificity", "class_balance", "token_diversity", "adversarial")
                ),
            ],
            "method.specificity_weight",
        ),
    ],
)
def test_a_role_that_would_train_on_no_loss_is_refused(overrides: list[str], key: str) -> None:
    (problem,) = rules.validate(compose.to_config(compose.compose(overrides)))
    assert problem.key == key
    assert rules.validate(compose.to_config(compose.compose(overrides[:-1]))) == []


def test_states_inside_compiled_layers_cannot_be_read() -> None:
    config = compose.to_config(compose.compose(["method=minilm", "runtime.compile=true"]))
    (problem,) = rules.validate(config)
    assert (problem.key, problem.value) == ("runtime.compile", True)
    assert "method=minilm" in problem
