"""The generator's losses: values by hand, bounds, numerical gradients."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from kdrun.generation import losses as generator_losses


def logits_of(*shares: list[float]) -> Tensor:
    return torch.tensor(shares, dtype=torch.float64).log().float()


def test_missing_log_odds_by_hand() -> None:
    """log 4 and log 1/3 of the 3 that are enough, and 10, which is more."""
    logits = logits_of([0.2, 0.8, 0.0], [0.25, 0.25, 0.5], [0.0, 0.0, 1.0]) + torch.tensor([[0.0], [7.0], [0.0]])
    logits[2] = torch.tensor([0.0, -200.0, 10.0])
    actual = generator_losses.log_odds_hinge(logits, torch.tensor([1, 0, 2]), 3.0)
    torch.testing.assert_close(actual, torch.tensor([3 - math.log(4), 3 + math.log(3), 0.0]))


def test_only_by_its_surprise_a_text_gains_without_being_of_the_wanted_class() -> None:
    """A text that the teacher is sure of, when both classes are wanted in turn: which way is downhill?"""
    slopes = {}
    for name, loss in {
        "log_odds": partial(generator_losses.log_odds_hinge, margin=6.0),
        "surprise": generator_losses.target_cross_entropy,
    }.items():
        sure = torch.tensor([[2.0, 0.0]] * 2, requires_grad=True)
        loss(sure, torch.tensor([0, 1])).sum().backward()
        assert sure.grad is not None
        slopes[name] = sure.grad.sum(dim=0)
    torch.testing.assert_close(slopes["log_odds"], torch.zeros(2))
    assert slopes["surprise"][0] > 0.7  # towards text of neither class


def test_surprise_by_hand() -> None:
    actual = generator_losses.target_cross_entropy(logits_of([0.2, 0.8], [0.5, 0.5]), torch.tensor([1, 0]))
    torch.testing.assert_close(actual, torch.tensor([-math.log(0.8), -math.log(0.5)]))


def test_class_imbalance_by_hand() -> None:
    """Shares 0.7 and 0.3 on average: log 2 − H."""
    actual = generator_losses.class_balance(logits_of([0.9, 0.1], [0.5, 0.5]))
    entropy = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    assert float(actual) == pytest.approx(math.log(2) - entropy, rel=1e-5)


def test_class_imbalance_at_its_bounds() -> None:
    assert float(generator_losses.class_balance(torch.tensor([[90.0, 0], [0, 90]]))) == pytest.approx(0, abs=1e-6)
    assert float(generator_losses.class_balance(torch.tensor([[90.0, 0, 0]] * 4))) == pytest.approx(
        math.log(3), rel=1e-6
    )


def test_the_reward_of_single_texts_is_the_first_order_of_the_batch() -> None:
    """A small change of one text's shares changes the batch's term, times the rows, by the change of that share."""
    shares = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]], dtype=torch.float64)
    rows, step = len(shares), 1e-5
    for i in range(rows):
        changed = shares.clone()
        changed[i] += torch.tensor([step, -step])

        def term(p: Tensor) -> float:
            mean = p.mean(dim=0)
            return rows * float((mean * mean.log()).sum())

        mean = shares.mean(dim=0)
        first_order = float(((changed - shares)[i] * mean.log()).sum())
        assert term(changed) - term(shares) == pytest.approx(first_order, rel=1e-4)
    actual = generator_losses.class_balance_reward(shares.log())
    expected = (shares.float() * shares.float().mean(dim=0).log()).sum(dim=1)
    torch.testing.assert_close(actual, expected)
    assert actual.argmin() == 2  # the one that is most of the rarer class


def test_token_repetition_by_hand() -> None:
    """Five tokens, one never given; a mean of (0.5, 0.25, 0.25, 0) over the other four."""
    impossible = -math.inf
    entropy = 0.5 * math.log(2) + 0.5 * math.log(4)
    logits = torch.tensor([[0.0, -200, -200, -200, impossible], [-200, 0.0, 0.0, -200, impossible]])
    assert float(generator_losses.token_diversity(logits)) == pytest.approx(math.log(4) - entropy, rel=1e-5)


def test_token_repetition_at_its_bounds() -> None:
    assert float(generator_losses.token_diversity(torch.eye(6) * 200 - 100)) == pytest.approx(0, abs=1e-6)
    assert float(generator_losses.token_diversity(torch.tensor([[99.0, 0, 0, 0]] * 3))) == pytest.approx(
        math.log(4), rel=1e-5
    )
    assert float(generator_losses.token_diversity(torch.zeros(0, 4))) == 0


def test_friendliness_is_the_divergence_from_the_student() -> None:
    student, teacher = logits_of([0.5, 0.5]), logits_of([0.9, 0.1])
    expected = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert float(generator_losses.adversarial_divergence(student, teacher)) == pytest.approx(expected, rel=1e-5)


def test_staying_language_is_a_mean_over_a_rows_tokens() -> None:
    current, reference = logits_of([0.9, 0.1], [0.5, 0.5], [0.5, 0.5]), logits_of([0.5, 0.5], [0.5, 0.5], [0.25, 0.75])
    first = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    last = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    actual = generator_losses.reference_kl(current, reference, torch.tensor([0, 0, 2]), 4)
    torch.testing.assert_close(actual, torch.tensor([first / 2, 0, last, 0]))


@pytest.mark.parametrize("name", ["imbalance", "repetition", "language"])
def test_gradients_against_finite_differences_with_tokens_that_are_never_given(name: str) -> None:
    torch.manual_seed(0)
    free, reference = torch.randn(5, 6, dtype=torch.float64), torch.randn(5, 6)
    banned = torch.tensor([2, 5])

    def loss(values: Tensor) -> Tensor:
        logits = values.float()
        if name == "imbalance":
            return generator_losses.class_balance(logits)
        logits = logits.index_fill(1, banned, -torch.inf)
        if name == "repetition":
            return generator_losses.token_diversity(logits)
        return generator_losses.reference_kl(
            logits, reference.index_fill(1, banned, -torch.inf), torch.tensor([0, 0, 1, 1, 1]), 2
        ).sum()

    values = free.clone().requires_grad_(True)
    loss(values).backward()
    assert values.grad is not None
    for row, column in [(0, 0), (1, 3), (4, 1), (2, 2)]:
        step = torch.zeros_like(free)
        step[row, column] = 1e-2
        slope = (float(loss(free + step)) - float(loss(free - step))) / 2e-2
        assert float(values.grad[row, column]) == pytest.approx(slope, abs=2e-4)
        assert (slope == 0) == (name != "imbalance" and column in banned)
