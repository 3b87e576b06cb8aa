"""Score-function (REINFORCE) gradient with a moving baseline.

For a reward r of a text y drawn from p_θ, ∇_θ E[r(y)] = E[(r(y) − b) · ∇_θ log p_θ(y)] for every baseline b that does
not depend on y; a moving mean of past rewards makes its variance small.
"""

from __future__ import annotations

from torch import Tensor


def reinforce_loss(log_prob: Tensor, reward: Tensor, baseline: float) -> Tensor:
    """A loss whose gradient is −(r − b) · ∇ log p for each example; its value means nothing.

    Args:
        log_prob: log-probability of each text under its generator, with a gradient, [batch].
        reward: of each text, [batch].
        baseline: b.

    Returns:
        [batch].

    Raises:
        ValueError: the shapes differ.
    """
    if log_prob.shape != reward.shape:
        raise ValueError(f"surrogate: log_prob {list(log_prob.shape)} and reward {list(reward.shape)} differ in shape")
    return -(reward.detach() - baseline) * log_prob


def sequence_log_prob(logits: Tensor, ids: Tensor, rows: Tensor, batch: int) -> Tensor:
    """Σ log p of the tokens drawn in each row, [batch].

    Args:
        logits: what each token was drawn from, [tokens, vocabulary].
        ids: the tokens, [tokens].
        rows: the row each is in, [tokens].
        batch: how many rows there are.
    """
    own = logits.log_softmax(dim=-1).gather(1, ids[:, None])[:, 0]
    return own.new_zeros(batch).index_add(0, rows, own)


class MovingBaseline:
    """b ← m · b + (1 − m) · mean reward, after each use.

    The first batch stands for its own past: of B texts that shrinks its gradient by 1/B and does not turn it.

    Args:
        momentum: m, from 0 (the last batch) to 1.

    Attributes:
        value: b; None before its first use.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.value: float | None = None

    def use(self, reward: Tensor) -> float:
        """The baseline for these rewards [batch]; afterwards they are part of it."""
        mean = float(reward.detach().mean())
        before = mean if self.value is None else self.value
        self.value = self.momentum * before + (1 - self.momentum) * mean
        return before
