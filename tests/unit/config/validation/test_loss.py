"""Rules for the distillation loss."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kdrun.config.loss import LOSS_SCHEMAS, DISTConfig, DKDConfig, LossConfig
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.config.validation.loss import loss_problems

TWO, THREE = (TaskConfig(name=f"task{n}", labels=[f"c{i}" for i in range(n)]) for n in (2, 3))
SCORE = TaskConfig(name="score", range=[0, 5])
SETS = TaskConfig(name="sets", labels=["a", "b", "c"], kind=TaskKind.multi_label)
NAMES = TaskConfig(name="names", entities=["person"])


def problems(loss: LossConfig | str, task: TaskConfig, batch_size: int = 8, **method: Any) -> str:
    section = LOSS_SCHEMAS.get(loss, LossConfig)(loss) if isinstance(loss, str) else loss
    config = SimpleNamespace(
        loss=section, task=task, method=SimpleNamespace(**method), optim=SimpleNamespace(batch_size=batch_size)
    )
    return "\n".join(str(problem) for problem in loss_problems(cast(RunConfig, config)))


@pytest.mark.parametrize("name", ["dkd", "dist", "jsd", "kl", "kl_standardized", "skew_kl", "skew_reverse_kl"])
def test_every_loss_fits_three_classes_and_tokens_and_no_score(name: str) -> None:
    assert not problems(name, THREE)
    assert not problems(name, NAMES)
    assert f"loss={name} compares distributions" in problems(name, SCORE)
    assert f"loss={name} compares distributions" in problems(name, SETS)


@pytest.mark.parametrize(("name", "reason"), [("dkd", "only one other"), ("kl_standardized", "no gradient")])
def test_two_classes_are_refused_with_the_reason(name: str, reason: str) -> None:
    text = problems(name, TWO)
    assert f"loss={name} does not fit the two classes of task=task2 (c0, c1)" in text
    assert reason in text
    assert "use one of dist, jsd, kl," in text
    assert not problems("dist", TWO)


def test_weights_that_leave_no_gradient_are_refused() -> None:
    assert "loss.target_weight=0 loss.other_weight=0" in problems(DKDConfig("dkd", 0.0, 0.0), THREE)
    assert not problems(DKDConfig("dkd", 0.0, 1.0), THREE)
    assert "loss.intra_weight=0" in problems(DISTConfig("dist", 1.0, 0.0), TWO)
    assert not problems(DISTConfig("dist", 1.0, 0.0), THREE)


def test_dist_takes_no_weights_of_single_rows() -> None:
    assert "method.confidence_weight=1.0" in problems("dist", THREE, confidence_weight=1.0)
    assert "method.candidates=4" in problems("dist", THREE, candidates=4)
    assert "optim.batch_size=1" in problems("dist", THREE, batch_size=1)
    assert not problems("dist", THREE, confidence_weight=0.0, candidates=1)
    assert not problems("dkd", THREE, 1, confidence_weight=1.0, candidates=4)


def test_a_final_temperature_needs_a_temperature() -> None:
    assert "method.temperature_end=1.0 has no effect: task=score" in problems(LossConfig(), SCORE, temperature_end=1.0)
    assert "method.temperature_end=1.0 has no effect" in problems("logit_mse", TWO, temperature_end=1.0)
    assert not problems("kl", TWO, temperature_end=1.0)
