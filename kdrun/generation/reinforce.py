"""Score-function (REINFORCE) gradient with a moving baseline.

For a reward r of a text y drawn from p_θ, ∇_θ E[r(y)] = E[(r(y) − b) · ∇_θ log p_θ(y)] for every baseline b that does
not depend on y; a moving mean of past rewards makes its variance small.
"""

from __future__ import annotations

from torch import Tensor

from kdrun import ranks


def reinforce_loss(log_prob: Tensor, reward: Tensor, baseline: float) -> Tensor:
    """Surrogate loss with the gradient −(r − b) · ∇ log p per example; its value has no meaning.

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
        raise ValueError(
            f"reinforce_loss: log_prob {list(log_prob.shape)} and reward {list(reward.shape)} differ in shape"
        )
    return -(reward.detach() - baseline) * log_prob


def sequence_log_prob(logits: Tensor, ids: Tensor, rows: Tensor, batch: int) -> Tensor:
    """Σ log p of the tokens drawn in each row, [batch].

    Args:
        logits: logits that each token was drawn from, [tokens, vocabulary].
        ids: the tokens, [tokens].
        rows: row of each token, [tokens].
        batch: number of rows.
    """
    log_probs = logits.log_softmax(dim=-1).gather(1, ids[:, None])[:, 0]
    return log_probs.new_zeros(batch).index_add(0, rows, log_probs)


class MovingBaseline:
    """Moving mean of rewards: b ← m · b + (1 − m) · mean reward, once per optimizer step.

    The micro-batches of the first step are their own baselines, which scales the gradient of their B texts by 1 − 1/B
    in expectation and does not change its direction.

    Args:
        momentum: m, from 0 (the last step) to 1.

    Attributes:
        value: b; None before its first update.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.value: float | None = None
        self._rewards: list[tuple[float, int]] = []

    def use(self, reward: Tensor) -> float:
        """Return the baseline for these rewards [batch], and keep them for the next update."""
        mean = float(reward.detach().mean())
        self._rewards.append((mean, len(reward)))
        return mean if self.value is None else self.value

    def update(self) -> None:
        """Move by the mean of the rewards since the last update, in all processes."""
        rewards = [part for parts in ranks.gather(self._rewards) for part in parts]
        self._rewards = []
        if not rewards:
            return
        total = sum(count for _, count in rewards)
        mean = rewards[0][0] if len(rewards) == 1 else sum(mean * count for mean, count in rewards) / total
        before = mean if self.value is None else self.value
        self.value = self.momentum * before + (1 - self.momentum) * mean
