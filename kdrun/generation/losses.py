"""Losses of the text-to-text generator.

The paper (arXiv 2311.01689) names three aims: text that is specific to the task, text that is diverse, and text that
serves compression. Its formulas were not found. A generator minimizes each term here, except `adversarial_divergence`,
which it maximizes. Inputs are logits, results are in nats.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdrun import losses


def log_odds_hinge(teacher: Tensor, target_classes: Tensor, margin: float) -> Tensor:
    """Hinge on the teacher's log-odds of the target class: max(0, m − log p/(1 − p)), p = T(x′)[target].

    With two classes the log-odds of one are the negated log-odds of the other, and below m the slope is constant. So a
    text that gains for one target class loses as much for the other, and a generator that ignores its target class
    gains nothing. With `target_cross_entropy` it does gain: a confident teacher costs more when it disagrees than it
    saves when it agrees, so text on which the teacher is unsure is cheaper for every class. With more classes, or a
    teacher more confident than m, this holds in part.

    Args:
        teacher: logits on the generated text, [batch, classes], at least two classes.
        target_classes: class that each text was generated for, [batch].
        margin: m, in nats.

    Returns:
        Nats, [batch]; 0 where the teacher's log-odds of the target class are m or more.
    """
    is_target = torch.nn.functional.one_hot(target_classes, teacher.shape[-1]).bool()
    others = teacher.float().masked_fill(is_target, -torch.inf).logsumexp(dim=-1)
    return (margin - (teacher.float()[is_target] - others)).clamp(min=0)


def target_cross_entropy(teacher: Tensor, target_classes: Tensor) -> Tensor:
    """Cross-entropy of the teacher with the target class: −log T(x′)[target].

    Args:
        teacher: logits on the generated text, [batch, classes].
        target_classes: class that each text was generated for, [batch].

    Returns:
        Nats, [batch]; 0 where the teacher is certain of the target class.
    """
    return losses.hard_cross_entropy(teacher, target_classes)


def class_balance(teacher: Tensor) -> Tensor:
    """Imbalance of the teacher's classes in a batch: log C − H(m), m the mean over the batch of softmax(T(x′)).

    This is KL(m ‖ uniform): 0 where the C classes have equal shares, log C where all texts are of one class. It differs
    from −H(m) by a constant.

    Args:
        teacher: logits on the generated text, [batch, classes].

    Returns:
        Nats, one scalar for the batch.
    """
    return _from_uniform(teacher.float().softmax(dim=-1).mean(dim=0))


def class_balance_reward(teacher: Tensor) -> Tensor:
    """Contribution of each text to `class_balance`, to first order: Σ_c p_c · log m_c, p = softmax(T(x′)).

    For a batch of B texts the derivative of B · KL(m ‖ uniform) by p_c of one text is log m_c + 1 (m is a mean, so B
    cancels), and the 1 sums to a constant because p sums to 1. With m held fixed it is a reward of single texts, as a
    score-function gradient needs. Terms of higher order in 1/B are left out.

    Args:
        teacher: logits on the generated text, [batch, classes].

    Returns:
        Nats (0 or less), [batch]; smaller for texts whose class is rare in the batch. Without a gradient.
    """
    shares = teacher.detach().float().softmax(dim=-1)
    return (shares * _log(shares.mean(dim=0))).sum(dim=-1)


def token_diversity(logits: Tensor) -> Tensor:
    """Repetition of tokens in a batch: log V − H(m), m the mean of the generator's distributions over its tokens.

    This is KL(m ‖ uniform over the V tokens that can be generated). Its gradient does not pass through the teacher, so
    it is the same with soft tokens and with plain text.

    Args:
        logits: of every generated token, [tokens, vocabulary]; −inf for tokens that are never generated.

    Returns:
        Nats, a scalar; 0 without tokens.
    """
    if not len(logits):
        return logits.sum()
    possible = int((logits[0] > -torch.inf).sum())
    mean = logits.float().softmax(dim=-1).mean(dim=0)
    return _from_uniform(mean, possible)


def adversarial_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Disagreement of teacher and student: KL(T(x′) ‖ S(x′)) at a temperature. The generator maximizes it.

    Args:
        student: logits on the generated text, [batch, classes].
        teacher: likewise.
        temperature: τ of both.

    Returns:
        Nats, [batch].
    """
    return losses.kl_divergence(student, teacher, temperature)


def reference_kl(logits: Tensor, reference: Tensor, rows: Tensor, batch: int) -> Tensor:
    """KL of the generator from its initial weights: KL(G ‖ G₀), averaged over the generated tokens of each row.

    At each generated token the divergence is exact, over the whole vocabulary, given the text before it. If that text
    is generated too (`decode`), the gradient leaves out its dependence on the generator.

    Args:
        logits: of the generator G, [tokens, vocabulary].
        reference: of its frozen initial copy G₀, likewise, −inf at the same tokens.
        rows: row of each token, [tokens].
        batch: number of rows.

    Returns:
        Nats, [batch]; 0 for a row without generated tokens.
    """
    log_p, log_q = (part.float().log_softmax(dim=-1).clamp(min=-1e30) for part in (logits, reference))
    kl = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    total = kl.new_zeros(batch).index_add(0, rows, kl)
    return total / torch.bincount(rows, minlength=batch).clamp(min=1)


def _from_uniform(shares: Tensor, possible: int | None = None) -> Tensor:
    """KL(shares ‖ uniform) over `possible` entries (by default all), a scalar."""
    return math.log(possible or len(shares)) + (shares * _log(shares)).sum()


def _log(shares: Tensor) -> Tensor:
    # log 0 would turn 0 · log 0, and its gradient, into NaN
    return shares.clamp(min=torch.finfo(torch.float32).tiny).log()
