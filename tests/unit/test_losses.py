"""Losses: values computed by hand, argument order, masks, gradients, precision and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kdrun import losses, registry
from kdrun.tasks import label_losses

SOFT = sorted(registry.entries("loss"))
DIVERGENCES = [name for name in SOFT if name not in ("soft_ce", "bce")]
SHIFTED = [name for name in SOFT if name not in ("logit_mse", "bce", "binary_kl")]
Loss = Callable[..., Tensor]


def soft(name: str) -> Loss:
    return registry.get("loss", name).target


def logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of(*probabilities: float) -> Tensor:
    """Logits whose softmax is this distribution, [1, classes]."""
    return torch.tensor([probabilities]).log()


STUDENT, TEACHER = of(0.25, 0.75), of(0.5, 0.5)
FORWARD = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)  # Σ p·log(p/q) = 0.1438
REVERSE = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)  # Σ q·log(q/p) = 0.1308


def test_the_registered_losses() -> None:
    assert {"kl", "reverse_kl", "soft_ce", "logit_mse"} <= set(SOFT)


def test_the_student_is_the_first_argument() -> None:
    assert losses.kl_divergence(STUDENT, TEACHER).item() == pytest.approx(FORWARD, abs=1e-6)
    assert losses.reverse_kl_divergence(STUDENT, TEACHER).item() == pytest.approx(REVERSE, abs=1e-6)
    assert pytest.approx(FORWARD, abs=1e-3) != REVERSE


def test_soft_cross_entropy_by_hand() -> None:
    expected = -0.5 * math.log(0.25) - 0.5 * math.log(0.75)
    assert losses.soft_cross_entropy(STUDENT, TEACHER).item() == pytest.approx(expected, abs=1e-6)


def test_temperature_softens_both_and_is_not_squared() -> None:
    # (2·log 3, 0) at T = 2 is the distribution (3/4, 1/4), against a uniform student
    teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert losses.kl_divergence(student, teacher, 2.0).item() == pytest.approx(expected, abs=1e-6)


def test_soft_cross_entropy_is_kl_plus_entropy() -> None:
    student, teacher = logits(5, 3), logits(5, 3, seed=1)
    share = torch.softmax(teacher / 3, dim=-1)
    entropy = -(share * share.log()).sum(dim=-1)
    expected = losses.kl_divergence(student, teacher, 3.0) + entropy
    torch.testing.assert_close(losses.soft_cross_entropy(student, teacher, 3.0), expected)


def test_logit_mse_by_hand_and_times_temperature_squared() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [3.0, 0.0]])
    expected = torch.tensor([(1 + 4) / 2, 9 / 2])
    torch.testing.assert_close(losses.logit_mse(student, teacher), expected)
    for temperature in (0.5, 2.0, 7.0):
        torch.testing.assert_close(temperature**2 * losses.logit_mse(student, teacher, temperature), expected)


def test_hard_losses_by_hand() -> None:
    both = torch.cat([of(0.25, 0.75), of(0.5, 0.5)])
    actual = losses.hard_cross_entropy(both, torch.tensor([1, 0]))
    torch.testing.assert_close(actual, torch.tensor([-math.log(0.75), -math.log(0.5)]))
    scores = losses.score_mse(torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, 2.5]))
    torch.testing.assert_close(scores, torch.tensor([4.0, 0.25]))


def test_hidden_mse_by_hand() -> None:
    student, teacher = torch.zeros(1, 3, 2), torch.tensor([[[1.0, 3.0], [2.0, 0.0], [9.0, 9.0]]])
    actual = losses.hidden_mse(student, teacher, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(actual, torch.tensor([((1 + 9) / 2 + (4 + 0) / 2) / 2]))


def test_attention_mse_by_hand() -> None:
    student = torch.zeros(1, 2, 2, 2)
    teacher = torch.tensor([[[[1.0, 9.0], [9.0, 9.0]], [[3.0, 9.0], [9.0, 9.0]]]])
    actual = losses.attention_mse(student, teacher, torch.tensor([[1, 0]]))
    torch.testing.assert_close(actual, torch.tensor([(1 + 9) / 2]))


def test_attention_mse_counts_masked_scores_as_zero() -> None:
    student = torch.tensor([[[[2.0, -1e4], [0.0, -100.0]]]])
    teacher = torch.tensor([[[[0.0, float("-inf")], [0.0, 1.0]]]])
    actual = losses.attention_mse(student, teacher, torch.ones(1, 2, dtype=torch.long))
    torch.testing.assert_close(actual, torch.tensor([(4 + 0 + 0 + 1) / 4]))


def test_the_relations_of_two_tokens_by_hand() -> None:
    a, root = math.log(3), math.sqrt(2)
    # scores of the teacher's head of width 2: [[log 3, 0], [0, log 3]]; of the student's head of width 1: all 0
    teacher = torch.tensor([[[math.sqrt(root * a), 0.0], [0.0, math.sqrt(root * a)]]])
    student = torch.zeros(1, 2, 1)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert losses.relation_divergence(student, teacher, torch.ones(1, 2), 1).item() == pytest.approx(expected)
    # a second head on which both agree halves the mean over heads
    teacher = torch.cat([teacher, torch.zeros(1, 2, 2)], dim=-1)
    assert losses.relation_divergence(torch.zeros(1, 2, 2), teacher, torch.ones(1, 2), 2).item() == pytest.approx(
        expected / 2
    )


def test_relations_of_padding_and_of_equal_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 5, width, generator=generator) for width in (8, 12))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    student[0, 3:] = 1e4
    padded = losses.relation_divergence(student, teacher, mask, 4)
    alone = losses.relation_divergence(student[:1, :3], teacher[:1, :3], mask[:1, :3], 4)
    torch.testing.assert_close(padded[:1], alone)
    assert torch.equal(losses.relation_divergence(teacher, teacher, mask, 4), torch.zeros(2))


@pytest.mark.parametrize("junk", [0.0, 1e6, float("inf"), float("nan")])
@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.float32])
def test_mask_equals_deletion(junk: float, dtype: torch.dtype) -> None:
    """An example's value and gradient equal those without padding, for any padding values."""
    lengths, longest = (2, 5, 3), 5
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).to(dtype)
    hidden = [logits(3, longest, 4, seed=s) for s in (0, 1)]
    maps = [logits(3, 2, longest, longest, seed=s) for s in (2, 3)]
    for row, length in enumerate(lengths):
        hidden[0][row, length:] = junk
        maps[0][row, :, length:] = junk
        maps[0][row, :, :, length:] = junk
    hidden[0].requires_grad_()
    maps[0].requires_grad_()
    padded = losses.hidden_mse(hidden[0], hidden[1], mask), losses.attention_mse(maps[0], maps[1], mask)
    for row, length in enumerate(lengths):
        full_mask = torch.ones(1, length, dtype=dtype)
        short = [h[row : row + 1, :length] for h in hidden]
        square = [m[row : row + 1, :, :length, :length] for m in maps]
        torch.testing.assert_close(padded[0][row], losses.hidden_mse(short[0], short[1], full_mask)[0])
        torch.testing.assert_close(padded[1][row], losses.attention_mse(square[0], square[1], full_mask)[0])
    for value, inputs in zip(padded, (hidden[0], maps[0]), strict=True):
        (gradient,) = torch.autograd.grad(value.sum(), inputs)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_zero_at_equality_and_nowhere_else(name: str, temperature: float) -> None:
    same = logits(6, 4)
    atol = 1e-5 if name == "dist" else 1e-6  # it has an offset in its denominator
    torch.testing.assert_close(soft(name)(same, same, temperature), torch.zeros(6), atol=atol, rtol=0)
    assert (soft(name)(same, logits(6, 4, seed=1), temperature) > 1e-4).all()


def test_zero_at_equality_of_states() -> None:
    mask = torch.ones(2, 3)
    states, maps = logits(2, 3, 4), logits(2, 2, 3, 3)
    assert losses.hidden_mse(states, states, mask).tolist() == [0, 0]
    assert losses.attention_mse(maps, maps, mask).tolist() == [0, 0]


@pytest.mark.parametrize("name", SHIFTED)
def test_a_shift_of_the_logits_changes_nothing(name: str) -> None:
    student, teacher = logits(3, 4), logits(3, 4, seed=1)
    shifted = soft(name)(student + 7.0, teacher - 3.0, 2.0)
    torch.testing.assert_close(shifted, soft(name)(student, teacher, 2.0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SOFT)
def test_large_logits_stay_finite(name: str) -> None:
    student = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = soft(name)(student, -student.detach(), 1.0)
    (gradient,) = torch.autograd.grad(value.sum(), student)
    assert value.isfinite().all()
    assert gradient.isfinite().all()


def numeric_gradient(loss: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-2) -> Tensor:
    """Central differences: the losses compute in fp32, too coarse for `torch.autograd.gradcheck`."""
    out = torch.zeros_like(at)
    for i in range(at.numel()):
        up, down = at.clone(), at.clone()
        up.view(-1)[i] += step
        down.view(-1)[i] -= step
        out.view(-1)[i] = (loss(up).sum() - loss(down).sum()) / (2 * step)
    return out


def check_gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> None:
    at = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at).sum(), at)
    torch.testing.assert_close(gradient, numeric_gradient(loss, at.detach()), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", SOFT)
def test_gradients_for_student_and_teacher(name: str) -> None:
    """The teacher's too: a generator learns through both (MATE-KD)."""
    student, teacher = logits(2, 3), logits(2, 3, seed=1)
    check_gradient(lambda x: soft(name)(x, teacher, 2.0), student)
    check_gradient(lambda x: soft(name)(student, x, 2.0), teacher)


def test_gradients_of_the_other_losses() -> None:
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    check_gradient(lambda x: losses.hard_cross_entropy(x, torch.tensor([0, 2])), logits(2, 3))
    check_gradient(lambda x: losses.score_mse(x, torch.tensor([1.0, 0.0])), logits(2, 1))
    check_gradient(lambda x: losses.hidden_mse(x, logits(2, 3, 2, seed=1), mask), logits(2, 3, 2))
    check_gradient(lambda x: losses.attention_mse(x, logits(2, 2, 3, 3, seed=1), mask), logits(2, 2, 3, 3))
    check_gradient(lambda x: losses.relation_divergence(x, logits(2, 3, 4, seed=1), mask, 2), logits(2, 3, 4))


def test_kl_gradient_by_hand() -> None:
    student, teacher = logits(2, 3).requires_grad_(), logits(2, 3, seed=1)
    (gradient,) = torch.autograd.grad(losses.kl_divergence(student, teacher, 2.0).sum(), student)
    expected = (torch.softmax(student.detach() / 2, -1) - torch.softmax(teacher / 2, -1)) / 2
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", [n for n in SOFT if not registry.get("loss", n).sees_batch])
def test_one_value_per_example(name: str) -> None:
    student, teacher = logits(5, 3), logits(5, 3, seed=1)
    full = soft(name)(student, teacher, 2.0)
    assert full.shape == (5,)
    rows = [soft(name)(student[i : i + 1], teacher[i : i + 1], 2.0) for i in range(5)]
    torch.testing.assert_close(full, torch.cat(rows))


def test_one_value_per_example_of_the_others() -> None:
    mask = torch.ones(5, 2)
    assert losses.hard_cross_entropy(logits(5, 3), torch.zeros(5, dtype=torch.long)).shape == (5,)
    assert losses.score_mse(logits(5, 1), logits(5)).shape == (5,)
    assert losses.hidden_mse(logits(5, 2, 4), logits(5, 2, 4), mask).shape == (5,)
    assert losses.attention_mse(logits(5, 3, 2, 2), logits(5, 3, 2, 2), mask).shape == (5,)


def low_precision_calls() -> list[tuple[Loss, tuple[Any, ...]]]:
    mask = torch.ones(4, 2)
    pair = logits(4, 3).bfloat16(), logits(4, 3, seed=1).bfloat16()
    states = logits(4, 2, 3).bfloat16(), logits(4, 2, 3, seed=1).bfloat16(), mask
    maps = logits(4, 2, 2, 2).bfloat16(), logits(4, 2, 2, 2, seed=1).bfloat16(), mask
    others: list[tuple[Loss, tuple[Any, ...]]] = [
        (losses.hard_cross_entropy, (pair[0], torch.tensor([0, 1, 2, 0]))),
        (losses.score_mse, (logits(4, 1).bfloat16(), logits(4))),
        (losses.hidden_mse, states),
        (losses.attention_mse, maps),
        (losses.relation_divergence, (*states, 3)),
    ]
    return [(soft(name), pair) for name in SOFT] + others


@pytest.mark.parametrize(("loss", "inputs"), low_precision_calls())
def test_bf16_inputs_are_computed_in_fp32(loss: Loss, inputs: tuple[Any, ...]) -> None:
    actual = loss(*inputs)
    assert actual.dtype == torch.float32
    full = [x.float() if isinstance(x, Tensor) and x.dtype == torch.bfloat16 else x for x in inputs]
    torch.testing.assert_close(actual, loss(*full), atol=0, rtol=0)


@pytest.mark.parametrize("name", SOFT)
def test_shapes_that_would_broadcast_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"student \[8, 1\] and teacher \[8\]"):
        soft(name)(torch.zeros(8, 1), torch.zeros(8), 1.0)
    with pytest.raises(ValueError, match=r"student \[8, 3\] and teacher \[1, 3\]"):
        soft(name)(torch.zeros(8, 3), torch.zeros(1, 3), 1.0)


def test_other_shapes_that_would_broadcast_are_refused() -> None:
    states, maps = torch.zeros(2, 3, 4), torch.zeros(2, 1, 3, 3)
    mask = torch.ones(2, 3)
    with pytest.raises(ValueError, match="differ in shape"):
        losses.score_mse(torch.zeros(8), torch.zeros(8))
    with pytest.raises(ValueError, match="do not match"):
        losses.hard_cross_entropy(torch.zeros(8, 2), torch.zeros(8, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="differ in shape"):
        losses.hidden_mse(states, states[:1], mask)
    with pytest.raises(ValueError, match="differ in shape"):
        losses.attention_mse(maps, torch.zeros(2, 4, 3, 3), mask)
    for wrong in (mask[:1], mask[:, :1], mask[..., None]):
        with pytest.raises(ValueError, match=r"mask .* must be \[batch, length\]"):
            losses.hidden_mse(states, states, wrong)
        with pytest.raises(ValueError, match=r"mask .* must be \[batch, length\]"):
            losses.attention_mse(maps, maps, wrong)
        with pytest.raises(ValueError, match=r"mask .* must be \[batch, length\]"):
            losses.relation_divergence(states, states, wrong, 2)
    with pytest.raises(ValueError, match="differ in shape"):
        losses.relation_divergence(states, states[:1], mask, 2)


def test_defaults_follow_the_task() -> None:
    assert losses.default_loss(None, is_regression=False) == "kl"
    assert losses.default_loss(None, is_regression=True) == "logit_mse"
    assert losses.default_loss("soft_ce", is_regression=False) == "soft_ce"
    assert losses.hard_loss(is_regression=True) is losses.score_mse
    assert losses.hard_loss(is_regression=False) is losses.hard_cross_entropy
    refuse_a_score = {name for name in SOFT if not registry.get("loss", name).regression}
    assert {"kl", "soft_ce", "reverse_kl"} <= refuse_a_score
    assert "logit_mse" not in refuse_a_score


def test_binary_cross_entropy_by_hand() -> None:
    student, teacher = torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, -2.0]])
    p, q = torch.sigmoid(teacher / 2), torch.sigmoid(student / 2)
    expected = -(p * q.log() + (1 - p) * (1 - q).log()).mean(dim=1)
    torch.testing.assert_close(losses.binary_cross_entropy(student, teacher, 2.0), expected)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).mean(dim=1)
    torch.testing.assert_close(losses.binary_kl_divergence(student, teacher, 2.0), expected - entropy)


def test_bce_of_a_hot_teacher_is_that_of_the_logits() -> None:
    """(s − t)²/(8T²) + log 2: the limit of a high temperature."""
    student, teacher = logits(3, 4), logits(3, 4, seed=1)
    limit = (student - teacher).square().mean(dim=-1) / 8
    kl = 100.0**2 * losses.binary_kl_divergence(student.double(), teacher.double(), 100.0)
    torch.testing.assert_close(kl.float(), limit, rtol=0.05, atol=0.02)


def test_label_sets_against_torch() -> None:
    student, labels = logits(3, 4), (logits(3, 4, seed=2) > 0).float()
    expected = torch.nn.BCEWithLogitsLoss(reduction="none")(student, labels).mean(dim=1)
    torch.testing.assert_close(label_losses.label_set_cross_entropy(student, labels), expected)
    check_gradient(lambda at: label_losses.label_set_cross_entropy(at, labels), student)
    with pytest.raises(ValueError, match=r"\[3, 4\] and labels \[3\]"):
        label_losses.label_set_cross_entropy(student, labels[:, 0])


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([1, -1, 0]),
        torch.tensor([0.5, float("nan"), -1.0]),  # a score may be -1
        torch.tensor([[1.0, 0.0], [-1.0, -1.0], [0.0, 0.0]]),
    ],
    ids=["classes", "scores", "label sets"],
)
def test_rows_without_a_label_have_no_hard_loss_and_no_gradient(labels: Tensor) -> None:
    is_score = labels.ndim == 1 and labels.is_floating_point()
    logits = torch.randn(3, 1 if is_score else 2, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        if labels.ndim == 2:
            return (logits.sigmoid() - labels).square().sum(dim=-1)
        return losses.hard_loss(is_score)(logits, labels)

    values = label_losses.on_labeled_rows(loss)(logits, labels)
    values.sum().backward()
    labeled = torch.tensor([0, 2])
    assert values[1] == 0
    assert torch.equal(values[labeled], loss(logits[labeled], labels[labeled]))
    assert logits.grad is not None
    assert logits.grad[1].abs().sum() == 0
    assert (logits.grad[labeled].abs().sum(dim=-1) > 0).all()
