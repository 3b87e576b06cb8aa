"""Steps of fine-tuning and plain distillation, against their formulas in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdrun import losses
from kdrun.config.optim import OptimConfig
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.finetune import Finetune, FinetuneConfig
from kdrun.methods.kd import KD, KDConfig
from kdrun.methods.phases import Phase, Turn

CLASSES = TaskConfig(name="mnli", labels=["a", "b", "c"], metrics=["accuracy"], headline="accuracy")
SCORE = TaskConfig(name="stsb", range=[0, 5], metrics=["pearson"], headline="pearson")
TURN = Turn("student")
STUDENT = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
TEACHER = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0]])
LABELS = [0, 2]


class Fake(nn.Module):
    """A model whose logits are a table: row `input_ids[i, 0]` for example i."""

    def __init__(self, table: np.ndarray) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table, dtype=torch.float32))

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.table[input_ids[:, 0]])


class Untouchable(nn.Module):
    def forward(self, **_: Tensor) -> None:
        raise AssertionError("the teacher's logits come from the batch")


def parts(task: TaskConfig, student: np.ndarray) -> MethodContext:
    loss = losses.logit_mse if task.is_regression else losses.kl_divergence
    return MethodContext(
        roles={"student": Fake(student), "teacher": Untouchable()},
        task=task,
        loss=loss,
        hard_loss=losses.hard_loss(task.is_regression),
        seed=1,
        device=torch.device("cpu"),
    )


def batch(labels: Sequence[float], teacher: np.ndarray | None = None, rows: list[int] | None = None) -> Batch:
    rows = list(range(len(labels))) if rows is None else rows
    kind = torch.float32 if any(isinstance(x, float) for x in labels) else torch.long
    teacher_logits = None if teacher is None else torch.tensor(teacher[rows], dtype=torch.float32)
    ids = torch.tensor(rows)
    return Batch(ids, {"student": {"input_ids": ids[:, None]}}, torch.tensor(labels, dtype=kind)[rows], teacher_logits)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def hard_by_hand() -> float:
    return float(-np.log(softmax(STUDENT)[[0, 1], LABELS]).sum())


def soft_by_hand(temperature: float) -> float:
    p, q = softmax(TEACHER / temperature), softmax(STUDENT / temperature)
    return float(temperature**2 * (p * np.log(p / q)).sum())


def test_finetune_is_the_summed_cross_entropy() -> None:
    out = Finetune(FinetuneConfig(), parts(CLASSES, STUDENT)).step(batch(LABELS), TURN)
    assert out.loss.item() == pytest.approx(hard_by_hand(), rel=1e-5)
    assert out.count == 2
    assert {name: term.item() for name, term in out.loss_terms.items()} == {"hard": out.loss.item()}


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
@pytest.mark.parametrize(("hard", "soft"), [(0.5, 0.5), (0.25, 3.0), (0.0, 1.0), (1.0, 0.0)])
def test_kd_is_the_papers_formula(temperature: float, hard: float, soft: float) -> None:
    """T² applies for all weights."""
    config = KDConfig(temperature=temperature, hard_weight=hard, soft_weight=soft)
    out = KD(config, parts(CLASSES, STUDENT)).step(batch(LABELS, TEACHER), TURN)
    expected = hard * hard_by_hand() + soft * soft_by_hand(temperature)
    assert out.loss.item() == pytest.approx(expected, rel=1e-5)
    assert out.count == 2
    assert set(out.loss_terms) == {"hard", "soft"}
    assert out.loss_terms["hard"].item() == pytest.approx(hard_by_hand(), rel=1e-5)
    assert out.loss_terms["soft"].item() == pytest.approx(soft_by_hand(temperature), rel=1e-5)


def test_finetune_of_a_score() -> None:
    student = np.array([[1.0], [4.0], [2.0]])
    out = Finetune(FinetuneConfig(), parts(SCORE, student)).step(batch([2.0, 4.5, 2.0]), TURN)
    assert out.loss.item() == pytest.approx(1 + 0.25 + 0)
    assert out.count == 3


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_kd_of_a_score_does_not_depend_on_the_temperature(temperature: float) -> None:
    student, teacher = np.array([[1.0], [4.0]]), np.array([[3.0], [4.5]])
    config = KDConfig(temperature=temperature, hard_weight=0.25, soft_weight=2.0)
    out = KD(config, parts(SCORE, student)).step(batch([2.0, 2.0], teacher), TURN)
    assert out.loss_terms["hard"].item() == pytest.approx(1 + 4)
    assert out.loss_terms["soft"].item() == pytest.approx(4 + 0.25)
    assert out.loss.item() == pytest.approx(0.25 * 5 + 2.0 * 4.25)


def every_method() -> list[Method]:
    return [Finetune(FinetuneConfig(), parts(CLASSES, STUDENT)), KD(KDConfig(), parts(CLASSES, STUDENT))]


@pytest.mark.parametrize("method", every_method(), ids=["finetune", "kd"])
def test_sums_over_parts_equal_the_whole(method: Method) -> None:
    """Sums, not means: ragged micro-batches add up, in the terms and the gradient too."""
    labels, rows = [0, 2], [0, 1, 0, 1, 1]
    student = method.roles["student"]
    full = method.step(batch(labels, TEACHER, rows), TURN)
    pieces = [method.step(batch(labels, TEACHER, some), TURN) for some in (rows[:2], rows[2:])]
    assert full.count == sum(piece.count for piece in pieces) == 5
    for name, term in full.loss_terms.items():
        torch.testing.assert_close(term, pieces[0].loss_terms[name] + pieces[1].loss_terms[name])
    both = pieces[0].loss + pieces[1].loss
    torch.testing.assert_close(full.loss, both)
    gradients = [torch.autograd.grad(loss, list(student.parameters()))[0] for loss in (full.loss, both)]
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("method", every_method(), ids=["finetune", "kd"])
def test_terms_carry_no_graph(method: Method) -> None:
    out = method.step(batch(LABELS, TEACHER), TURN)
    assert out.loss.requires_grad
    assert out.loss.shape == ()
    assert not any(term.requires_grad for term in out.loss_terms.values())


def test_what_they_need() -> None:
    assert Finetune.requires == Requirements(teacher=False, extraction=True, multi_label=True)
    assert KD.requires == Requirements(teacher_logits=True, extraction=True, multi_label=True, unlabeled=True)


def test_default_phase_takes_the_budget() -> None:
    optim = OptimConfig(epochs=4.0, steps=7, batch_size=5, gradient_accumulation_steps=3)
    method = every_method()[1]
    assert method.phases(None, optim) == [Phase("train", (Turn("student", 1),), 4.0, 7, 5, 3)]
    assert list(method.trainable("student")) == [method.roles["student"]]


def test_a_method_without_a_step_is_an_error() -> None:
    class Unfinished(Method):
        """Defines nothing."""

    with pytest.raises(TypeError, match="Unfinished defines no step"):
        Unfinished(None, parts(CLASSES, STUDENT)).step(batch(LABELS), TURN)
