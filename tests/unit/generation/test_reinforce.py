"""The score-function gradient, against a sum over all texts of a tiny language."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from kdrun.generation.reinforce import MovingBaseline, reinforce_loss, sequence_log_prob

TOKENS, LENGTH = 3, 3
REWARDS = {text: float((7 * sum((i + 2) * t for i, t in enumerate(text)) % 5) - 1) for text in
           itertools.product(range(TOKENS), repeat=LENGTH)}  # fmt: skip


def parameters() -> tuple[Tensor, Tensor]:
    """A language in which a word depends on the one before: first words, and what follows each."""
    torch.manual_seed(0)
    return torch.randn(TOKENS, dtype=torch.float64, requires_grad=True), torch.randn(
        TOKENS, TOKENS, dtype=torch.float64, requires_grad=True
    )


def logits_of(text: tuple[int, ...], first: Tensor, follows: Tensor) -> Tensor:
    return torch.stack([first, *(follows[before] for before in text[:-1])])


def texts(first: Tensor, follows: Tensor) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Every text of the language: its log-probability as the library has it, its probability, its reward."""
    for text, reward in REWARDS.items():
        logits = logits_of(text, first, follows)
        log_prob = sequence_log_prob(logits, torch.tensor(text), torch.zeros(LENGTH, dtype=torch.long), 1)
        yield log_prob, log_prob.detach().exp()[0], reward


def exact() -> list[Tensor]:
    """∇ of the expected reward, by differentiating the sum over all texts, each probability a product of softmaxes."""
    first, follows = parameters()
    expected = torch.zeros((), dtype=torch.float64)
    for text, reward in REWARDS.items():
        p = first.softmax(-1)[text[0]]
        for before, word in itertools.pairwise(text):
            p = p * follows.softmax(-1)[before, word]
        expected = expected + reward * p
    return list(torch.autograd.grad(expected, [first, follows]))


def test_the_texts_are_all_there_is() -> None:
    assert float(sum(p for _, p, _ in texts(*parameters()))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 1.7, -40.0])
def test_the_expectation_over_all_texts_is_the_exact_gradient_for_any_baseline(baseline: float) -> None:
    first, follows = parameters()
    total = torch.zeros((), dtype=torch.float64)
    for log_prob, p, reward in texts(first, follows):
        total = total + p * reinforce_loss(log_prob, torch.tensor([reward]), baseline).sum()
    grads = torch.autograd.grad(total, [first, follows])
    for grad, expected in zip(grads, exact(), strict=True):
        torch.testing.assert_close(-grad, expected, rtol=1e-5, atol=1e-6)


def test_a_mean_over_samples_approaches_the_exact_gradient() -> None:
    """The estimator as it is used: texts drawn from the language, a moving baseline, the mean of many batches."""
    first, follows = parameters()
    with torch.no_grad():
        shares = torch.stack([p for _, p, _ in texts(first, follows)])
    indices = torch.multinomial(shares, 64 * 60, replacement=True, generator=torch.Generator().manual_seed(3))
    everything, baseline = list(texts(first, follows)), MovingBaseline(0.9)
    total = torch.zeros((), dtype=torch.float64)
    for batch in indices.view(60, 64).tolist():
        reward = torch.tensor([everything[i][2] for i in batch])
        total = (
            total + reinforce_loss(torch.cat([everything[i][0] for i in batch]), reward, baseline.use(reward)).mean()
        )
    grads = torch.autograd.grad(total / 60, [first, follows])
    for grad, expected in zip(grads, exact(), strict=True):
        torch.testing.assert_close(-grad, expected, rtol=0, atol=0.1)
    assert max(float(e.abs().max()) for e in exact()) > 0.2  # so that the bound says something


def test_the_baseline_moves_once_per_step() -> None:
    baseline, baselines = MovingBaseline(0.75), []
    for micro_batches in ([3.0], [7.0], [6.0, 7.0], [7.0]):
        baselines += [baseline.use(torch.tensor([value, value + 2])) for value in micro_batches]
        baseline.update()
    assert baselines == [4.0, 4.0, 5.0, 5.0, 5.625]


def test_rewards_of_other_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        reinforce_loss(torch.zeros(2), torch.zeros(2, 1), 0.0)


def test_log_probabilities_are_summed_by_row() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, -torch.inf]])
    actual = sequence_log_prob(logits, torch.tensor([0, 1, 0]), torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(actual, torch.tensor([-2 * 0.6931472, 0, 0]))
