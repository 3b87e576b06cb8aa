"""`kdrun check`: checks that pass, checks that fail, remedies."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.runs import preflight
from kdrun.runs.context import PreflightCheck
from kdrun.tasks.classification import ClassificationTask
from kdrun.training.step_checks import FirstStepReport


class Sized(SimpleNamespace):
    """A tokenizer with four entries."""

    def __len__(self) -> int:
        return 4


def test_a_zero_term_fails_with_a_reason() -> None:
    report = FirstStepReport("train", "student", {"hard": 0.5, "soft": 0.0}, 3, ["student.pooler.weight"])
    terms, gradients = preflight._first_step(report)
    assert not terms.ok
    assert "soft is zero" in terms.remedy
    assert gradients.ok
    assert "1 unused: student.pooler.weight" in gradients.value


def test_labels_in_another_order_fail() -> None:
    model = SimpleNamespace(config=SimpleNamespace(num_labels=2, id2label={0: "yes", 1: "no"}))
    evaluator = SimpleNamespace(task_type=ClassificationTask(TaskConfig(name="t", labels=["no", "yes"])))
    run: Any = SimpleNamespace(evaluator=evaluator, roles={"teacher": SimpleNamespace(model=model)})
    check = preflight._labels("teacher", run)
    assert not check.ok
    assert "no, yes" in check.remedy


@pytest.mark.parametrize(("ids", "ok"), [([[1, 2], [0, 3]], True), ([[0, 0], [0, 3]], False)])
def test_a_tokenizer_that_knows_few_words_fails(ids: list[list[int]], ok: bool) -> None:
    split = SimpleNamespace(num_rows=2, ids=lambda row: np.array(ids[row]))
    run: Any = SimpleNamespace(
        used_roles=["student"],
        roles={"student": SimpleNamespace(tokenizer=Sized(unk_token_id=0))},
        requires=SimpleNamespace(shared_vocabulary=False),
        tokens=lambda role: {"train": split},
    )
    assert preflight._vocabulary(run).ok is ok


def test_failed_checks_stop_a_run_all_in_one_report() -> None:
    checks = [
        PreflightCheck("a", True, "fine"),
        PreflightCheck("b", False, "b is odd", "fix b"),
        PreflightCheck("c", False, "c is odd", "fix c"),
    ]
    with pytest.raises(ModelError) as error:
        preflight.raise_if_failed(checks)
    assert str(error.value) == "b: b is odd; fix b\nc: c is odd; fix c"
