"""Plain distillation: the moving temperature, and rows weighted by the teacher's confidence."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdrun import losses
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.kd import KD, KDConfig
from kdrun.methods.kd_ood import KDOOD, KDOODConfig
from kdrun.methods.phases import Turn
from kdrun.methods.shared.soft_targets import temperature_at
from kdrun.tasks.label_losses import on_labeled_rows

TASK = TaskConfig(name="sst2", labels=["a", "b"], metrics=["accuracy"], headline="accuracy")
SCORES = TaskConfig(name="stsb", range=[0, 5], metrics=["pearson"], headline="pearson")
TURN = Turn("student")
TEACHER = torch.tensor([[math.log(3), 0.0], [0.0, math.log(9)]])  # (3/4, 1/4) and (1/10, 9/10)


class Student(nn.Module):
    """Logits of (1/2, 1/2) for each row."""

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(len(input_ids), 2))


def context(**changes: Any) -> MethodContext:
    parts = {"loss": losses.kl_divergence, "hard_loss": losses.hard_cross_entropy} | changes
    return MethodContext(roles={"student": Student()}, task=TASK, seed=1, device=torch.device("cpu"), **parts)


def batch(labels: Tensor | None = None, progress: float = 0.0, rows: slice = slice(None)) -> Batch:
    labels = torch.tensor([0, 0]) if labels is None else labels
    inputs = {"student": {"input_ids": torch.zeros(2, 3, dtype=torch.long)[rows]}}
    return Batch(torch.arange(2)[rows], inputs, labels[rows], TEACHER[rows], progress=progress)


def step(examples: Batch, **settings: Any) -> StepOutput:
    return KD(KDConfig(**settings), context()).step(examples, TURN)


def test_temperature_moves_in_equal_steps() -> None:
    assert [temperature_at(4.0, 1.0, k / 3) for k in range(3)] == pytest.approx([4.0, 3.0, 2.0])
    assert temperature_at(2.0, 8.0, 1.0) == 8.0
    assert temperature_at(2.0, None, 0.7) == 2.0


@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 4.0), (0.5, 2.5), (0.75, 1.75)])
def test_factor_and_loss_have_the_temperature_of_the_step(progress: float, temperature: float) -> None:
    annealed = step(batch(progress=progress), temperature=4.0, temperature_end=1.0)
    fixed = step(batch(progress=progress), temperature=temperature)
    assert annealed.loss.item() == pytest.approx(fixed.loss.item(), abs=1e-7)
    expected = temperature**2 * losses.kl_divergence(torch.zeros(2, 2), TEACHER, temperature).sum()
    assert annealed.loss_terms["soft"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_out_of_domain_text_has_the_temperature_too() -> None:
    method = KDOOD(KDOODConfig(temperature=4.0, temperature_end=1.0), context())
    expected = 2.5**2 * losses.kl_divergence(torch.zeros(2, 2), TEACHER, 2.5).sum()
    assert method.step(batch(progress=0.5), TURN).loss.item() == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_rows_are_weighted_by_the_probability_of_their_label(exponent: float) -> None:
    """Both labels are class 0: p = 3/4 for the first row, and 1/10 for the second, which the teacher gets wrong."""
    output = step(batch(), temperature=1.0, confidence_weight=exponent)
    kl = losses.kl_divergence(torch.zeros(2, 2), TEACHER)
    expected = 0.75**exponent * kl[0] + 0.1**exponent * kl[1]
    assert output.loss_terms["soft"].item() == pytest.approx(expected.item(), abs=1e-6)
    assert output.metrics["confidence"].item() == pytest.approx(0.75**exponent + 0.1**exponent, abs=1e-6)
    assert output.loss_terms["hard"].item() == pytest.approx(2 * math.log(2), abs=1e-6)
    assert output.count == 2


def test_weighted_rows_of_micro_batches_add_up() -> None:
    whole = step(batch(), confidence_weight=1.0)
    parts = [step(batch(rows=rows), confidence_weight=1.0) for rows in (slice(0, 1), slice(1, 2))]
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item(), abs=1e-6)
    assert sum(part.count for part in parts) == whole.count


def test_a_row_without_a_label_has_weight_one() -> None:
    method = KD(KDConfig(confidence_weight=1.0), context(hard_loss=on_labeled_rows(losses.hard_cross_entropy)))
    output = method.step(batch(torch.tensor([-1, 0])), TURN)
    assert output.metrics["confidence"].item() == pytest.approx(1.1, abs=1e-6)


def test_scores_have_no_confidence() -> None:
    (problem,) = KD.config_problems(KDConfig(confidence_weight=1.0), SCORES)
    assert "method.confidence_weight=1.0" in problem
    assert "task=stsb" in problem
    assert KD.config_problems(KDConfig(), SCORES) == []
