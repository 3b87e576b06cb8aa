"""Losses of the text-to-text generator.

The paper (arXiv 2311.01689) names the two aims, text that is specific to the task and text that is diverse, and text
that serves compression; its formulas were not found. Each term here is a loss to be made small, except `friendliness`,
which a generator makes large. Logits in, nats out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdrun import losses


def log_odds_hinge(teacher: Tensor, wanted: Tensor, enough: float) -> Tensor:
    """How far the teacher is from recognising the class that a text was written for: max(0, m − log p/(1 − p)).

    p is T(x′)[wanted]. Of two classes the log-odds of one are those of the other, negated, and while both are below m
    the slope is the same everywhere. So what a text gains by being of one class it loses where the other was wanted: a
    generator that ignores the class it is told has nothing to win. By `surprise` it has: a teacher that is sure costs
    more when it is wrong than it saves when it is right, and text on which it is unsure is cheaper, whatever the class.
    Of more classes, or of a teacher surer than m, this holds in part.

    Args:
        teacher: its logits on the made text, [batch, classes], two classes at least.
        wanted: the class each text was to be of, [batch].
        enough: m, in nats.

    Returns:
        Nats, [batch]; 0 where the teacher's log-odds of the wanted class are m or more.
    """
    own = torch.nn.functional.one_hot(wanted, teacher.shape[-1]).bool()
    others = teacher.float().masked_fill(own, -torch.inf).logsumexp(dim=-1)
    return (enough - (teacher.float()[own] - others)).clamp(min=0)


def target_cross_entropy(teacher: Tensor, wanted: Tensor) -> Tensor:
    """The same as −log T(x′)[wanted].

    Args:
        teacher: its logits on the made text, [batch, classes].
        wanted: the class each text was to be of, [batch].

    Returns:
        Nats, [batch]; 0 where the teacher is certain of the wanted class.
    """
    return losses.hard_cross_entropy(teacher, wanted)


def class_balance(teacher: Tensor) -> Tensor:
    """How one-sided a batch is to the teacher: log C − H(m), m the mean over the batch of softmax(T(x′)).

    This is KL(m ‖ uniform): 0 where the C classes have equal shares, log C where all is of one class. It differs from
    −H(m) by a constant.

    Args:
        teacher: logits on the made text, [batch, classes].

    Returns:
        Nats, a scalar: it is a property of the batch.
    """
    return _from_uniform(teacher.float().softmax(dim=-1).mean(dim=0))


def class_balance_reward(teacher: Tensor) -> Tensor:
    """What each text adds to `class_imbalance`, to first order: Σ_c p_c · log m_c, p = softmax(T(x′)).

    For a batch of B the derivative of B · KL(m ‖ uniform) by one text's p_c is log m_c + 1 (m is a mean, so B cancels),
    and the 1 sums to a constant, as p sums to 1. Taken with m held fixed it is a reward of single texts, which a
    score-function gradient needs; the terms of higher order in 1/B are left out.

    Args:
        teacher: logits on the made text, [batch, classes].

    Returns:
        Nats (0 or less), [batch]; the smaller, the rarer the text's class is in the batch. Without a gradient.
    """
    shares = teacher.detach().float().softmax(dim=-1)
    return (shares * _log(shares.mean(dim=0))).sum(dim=-1)


def token_diversity(logits: Tensor) -> Tensor:
    """How few words a batch is made of: log V − H(m), m the mean over its tokens of the generator's distributions.

    KL(m ‖ uniform over the V tokens that can be given). It has a gradient of its own, whatever the interface to the
    teacher is.

    Args:
        logits: of every made token, [tokens, vocabulary]; −inf for tokens that are never given.

    Returns:
        Nats, a scalar; 0 without tokens.
    """
    if not len(logits):
        return logits.sum()
    possible = int((logits[0] > -torch.inf).sum())
    mean = logits.float().softmax(dim=-1).mean(dim=0)
    return _from_uniform(mean, possible)


def adversarial_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """How much a text has to teach: KL(T(x′) ‖ S(x′)) at a temperature. The generator makes it large.

    Args:
        student: logits on the made text, [batch, classes].
        teacher: likewise.
        temperature: τ of both.

    Returns:
        Nats, [batch].
    """
    return losses.kl_divergence(student, teacher, temperature)


def reference_kl(logits: Tensor, reference: Tensor, rows: Tensor, batch: int) -> Tensor:
    """How far the generator has gone from the language it came with: KL(G ‖ G₀), a mean over a row's made tokens.

    At each made token the divergence is exact, over the whole vocabulary, given the text before it. Where that text is
    made too (`decode`), its own dependence on the generator is left out of the gradient.

    Args:
        logits: of the generator G, [tokens, vocabulary].
        reference: of its frozen copy G₀, likewise, −inf at the same tokens.
        rows: the row each token is in, [tokens].
        batch: how many rows there are.

    Returns:
        Nats, [batch]; 0 for a row without made tokens.
    """
    log_p, log_q = (part.float().log_softmax(dim=-1).clamp(min=-1e30) for part in (logits, reference))
    apart = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    total = apart.new_zeros(batch).index_add(0, rows, apart)
    return total / torch.bincount(rows, minlength=batch).clamp(min=1)


def _from_uniform(shares: Tensor, possible: int | None = None) -> Tensor:
    """KL(shares ‖ uniform) over so many entries (all of them by default), a scalar."""
    return math.log(possible or len(shares)) + (shares * _log(shares)).sum()


def _log(shares: Tensor) -> Tensor:
    # log 0 would turn 0 · log 0, and its gradient, into NaN
    return shares.clamp(min=torch.finfo(torch.float32).tiny).log()
