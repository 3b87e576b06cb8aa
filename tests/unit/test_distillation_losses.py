"""Losses for several classes and mixtures, against values computed by hand."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdrun import losses, registry
from kdrun.config.loss import LOSS_SCHEMAS

NAMES = ["dist", "dkd", "jsd", "kl_standardized", "skew_kl", "skew_reverse_kl"]


def of(*probabilities: float) -> Tensor:
    """Logits whose softmax is this distribution, [1, classes], up to a constant."""
    return torch.tensor([probabilities], dtype=torch.float64).log() + 0.7


def logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss(name: str) -> Any:
    return registry.get("loss", name).target


STUDENT, TEACHER = of(0.25, 0.75), of(0.5, 0.5)


def test_jensen_shannon_by_hand() -> None:
    # m = (3/8, 5/8) for β = 1/2, and (5/16, 11/16) for β = 1/4
    teacher, student = math.log(4 / 3) + math.log(4 / 5), math.log(2 / 3) + 3 * math.log(6 / 5)
    expected = 0.5 * 0.5 * teacher + 0.5 * 0.25 * student
    assert losses.jensen_shannon(STUDENT, TEACHER).item() == pytest.approx(expected, abs=1e-12)
    teacher, student = math.log(8 / 5) + math.log(8 / 11), math.log(4 / 5) + 3 * math.log(12 / 11)
    expected = 0.25 * 0.5 * teacher + 0.75 * 0.25 * student
    actual = losses.jensen_shannon(STUDENT, TEACHER, teacher_share=0.25)
    assert actual.item() == pytest.approx(expected, abs=1e-12)


def test_jensen_shannon_is_bounded_and_tends_to_both_kls() -> None:
    far, opposite = torch.tensor([[200.0, -200.0]]), torch.tensor([[-200.0, 200.0]])
    assert losses.jensen_shannon(far, opposite).item() == pytest.approx(math.log(2), abs=1e-6)
    student, teacher = logits(4, 3), logits(4, 3, seed=1)
    forward, reverse = losses.kl_divergence(student, teacher), losses.reverse_kl_divergence(student, teacher)
    small = losses.jensen_shannon(student, teacher, teacher_share=1e-6) / 1e-6
    torch.testing.assert_close(small, forward, rtol=1e-4, atol=1e-4)
    large = losses.jensen_shannon(student, teacher, teacher_share=1 - 1e-6) / 1e-6
    torch.testing.assert_close(large, reverse, rtol=1e-4, atol=1e-4)


def test_skew_divergences_by_hand() -> None:
    # mixtures (0.275, 0.725) and (0.475, 0.525)
    expected = 0.5 * math.log(0.5 / 0.275) + 0.5 * math.log(0.5 / 0.725)
    assert losses.skew_kl_divergence(STUDENT, TEACHER).item() == pytest.approx(expected, abs=1e-12)
    expected = 0.25 * math.log(0.25 / 0.475) + 0.75 * math.log(0.75 / 0.525)
    assert losses.skew_reverse_kl_divergence(STUDENT, TEACHER).item() == pytest.approx(expected, abs=1e-12)


def test_skew_of_zero_is_kl() -> None:
    student, teacher = logits(4, 3), logits(4, 3, seed=1)
    forward = losses.skew_kl_divergence(student, teacher, 2.0, teacher_share=0.0)
    torch.testing.assert_close(forward, losses.kl_divergence(student, teacher, 2.0))
    reverse = losses.skew_reverse_kl_divergence(student, teacher, 2.0, student_share=0.0)
    torch.testing.assert_close(reverse, losses.reverse_kl_divergence(student, teacher, 2.0))


def test_decoupled_kd_by_hand() -> None:
    # target class 0: (1/2, 1/2) against (1/4, 3/4); the others (1/2, 1/2) against (2/3, 1/3)
    teacher, student = of(0.5, 0.25, 0.25), of(0.25, 0.5, 0.25)
    target = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    others = 0.5 * math.log(3 / 4) + 0.5 * math.log(3 / 2)
    expected = 3.0 * target + 5.0 * others
    actual = losses.decoupled_kd(student, teacher, target_weight=3.0, other_weight=5.0)
    assert actual.item() == pytest.approx(expected, abs=1e-12)


def test_decoupled_kd_splits_kl() -> None:
    """KL = target part + (1 − p_t) · other part."""
    for row in range(3):
        student, teacher = logits(1, 5, seed=row), logits(1, 5, seed=9 + row)
        rest = 1 - (teacher / 2).softmax(dim=-1).max().item()
        actual = losses.decoupled_kd(student, teacher, 2.0, target_weight=1.0, other_weight=rest)
        torch.testing.assert_close(actual, losses.kl_divergence(student, teacher, 2.0))


def test_standardized_kl_by_hand() -> None:
    # (1, 2, 3) becomes (−1, 0, 1); (0, 0, 3) becomes (−1, −1, 2)/√3
    teacher, student = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 0.0, 3.0]])
    p, q = np.exp([-1, 0, 1]), np.exp(np.array([-1, -1, 2]) / math.sqrt(3))
    p, q = p / p.sum(), q / q.sum()
    expected = float((p * np.log(p / q)).sum())
    assert losses.standardized_kl(student, teacher).item() == pytest.approx(expected, abs=1e-6)
    assert losses.standardized_kl(7 * teacher - 3, teacher, 2.0).item() == pytest.approx(0, abs=1e-6)


def test_two_standardized_logits_have_no_gradient() -> None:
    """The reason why the loss is refused for two classes."""
    student = torch.tensor([[0.3, -1.0], [2.0, 5.0]], requires_grad=True)
    losses.standardized_kl(student, torch.tensor([[1.0, 0.0], [1.0, 0.0]])).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6


def by_hand(student: Tensor, teacher: Tensor, inter: float = 1.0, intra: float = 1.0) -> float:
    """DIST of one batch with numpy's correlation."""
    q, p = student.softmax(dim=-1).numpy(), teacher.softmax(dim=-1).numpy()
    rows = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(q, p, strict=True)])
    columns = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(q.T, p.T, strict=True)])
    return float(inter * rows + intra * columns)


def test_pearson_distance_is_that_of_numpy() -> None:
    student, teacher = logits(6, 4), logits(6, 4, seed=1)
    actual = losses.pearson_distance(student, teacher)
    assert actual.shape == (6,)
    assert actual.mean().item() == pytest.approx(by_hand(student, teacher), abs=1e-6)
    actual = losses.pearson_distance(student, teacher, 2.0, inter_weight=3.0, intra_weight=0.5)
    assert actual.mean().item() == pytest.approx(by_hand(student / 2, teacher / 2, 3.0, 0.5), abs=1e-6)


def test_pearson_distance_of_micro_batches_is_weighted_by_their_rows() -> None:
    """5 + 3 rows: the sums over the micro-batches, divided by 8, are the mean of the two losses weighted 5 to 3."""
    student, teacher = logits(8, 4), logits(8, 4, seed=1)
    parts = [slice(0, 5), slice(5, 8)]
    total = sum(losses.pearson_distance(student[part], teacher[part]).sum() for part in parts)
    expected = [by_hand(student[part], teacher[part]) for part in parts]
    assert float(total) / 8 == pytest.approx((5 * expected[0] + 3 * expected[1]) / 8, abs=1e-6)


def test_pearson_distance_of_one_row_is_its_first_term() -> None:
    student, teacher = logits(1, 4), logits(1, 4, seed=1)
    alone = losses.pearson_distance(student, teacher)
    torch.testing.assert_close(alone, losses.pearson_distance(student, teacher, intra_weight=0.0))


def test_pearson_distance_over_the_tokens_of_a_batch() -> None:
    """All tokens of a micro-batch are its rows; each text has the mean over its tokens."""
    student, teacher = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    present = torch.tensor([[True, True, True, True], [True, True, False, False]])
    actual = losses.per_token(losses.pearson_distance)(
        student, teacher.masked_fill(~present[..., None], torch.nan), 1.0
    )
    values = losses.pearson_distance(student[present], teacher[present])
    torch.testing.assert_close(actual, torch.stack([values[:4].mean(), values[4:].mean()]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_gradients_are_finite(name: str, size: float) -> None:
    """Sure students and teachers, equal logits in a row, and rows that are all alike."""
    rows = torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]) * size
    for teacher in (rows.flip(0), rows.roll(1, dims=1), torch.zeros(4, 3)):
        for student in (rows.clone(), torch.zeros(4, 3)):
            student.requires_grad_()
            values = loss(name)(student, teacher, 1.0)
            values.sum().backward()
            assert values.isfinite().all()
            assert student.grad is not None
            assert student.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_at_equality(name: str) -> None:
    student = logits(5, 4).requires_grad_()
    loss(name)(student, student.detach().clone(), 2.0).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-5  # dist has an offset in its denominator


@pytest.mark.parametrize("name", NAMES)
def test_fp32_agrees_with_float64(name: str) -> None:
    student, teacher = 4 * logits(6, 5), 4 * logits(6, 5, seed=1)
    exact = loss(name)(student, teacher, 2.0)
    rounded = loss(name)(student.float(), teacher.float(), 2.0)
    assert (exact.dtype, rounded.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(rounded.double(), exact, rtol=1e-5, atol=1e-6)


def test_settings_are_the_keyword_arguments_of_the_losses() -> None:
    for name, entry in registry.entries("loss").items():
        parameters = inspect.signature(entry.target).parameters.values()
        keywords = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
        schema = LOSS_SCHEMAS.get(name)
        assert keywords == ({} if schema is None else schema(name).settings)
        fields = [] if schema is None else dataclasses.fields(schema)
        assert all(f.metadata["doc"] for f in fields)
