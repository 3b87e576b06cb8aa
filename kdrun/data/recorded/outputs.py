"""Turn recorded probabilities into logits, and average teachers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdrun.config.task import TaskConfig

MIN_PROBABILITY = 1e-6
"""Probabilities below this are raised to it before their logarithm is taken [ours]: files often have six digits."""
SUM_TOLERANCE = 1e-3
"""Largest difference of the sum of a row's probabilities from 1: they may be rounded."""


def spread_rest(values: np.ndarray) -> np.ndarray:
    """Spread the rest of each row's probability evenly over the classes that the row does not name.

    Args:
        values: [rows, classes], NaN for classes without a value.

    Returns:
        [rows, classes] without NaN.
    """
    is_missing = np.isnan(values)
    rest = np.clip(1.0 - np.nansum(values, axis=1), 0.0, None)
    share = rest / np.maximum(1, is_missing.sum(axis=1))
    return np.where(is_missing, share[:, None], values)


def logits_of(probabilities: np.ndarray, task: TaskConfig) -> np.ndarray:
    """Logits of probabilities that are at least `MIN_PROBABILITY`: log p, or log p − log(1 − p) of a multi-label task.

    The task's softmax or sigmoid of the result is p again.

    Args:
        probabilities: [rows, classes], float64.
        task: of the rows.

    Returns:
        [rows, classes] float32.
    """
    if task.is_multi_label:
        clipped = np.clip(probabilities, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        return (np.log(clipped) - np.log1p(-clipped)).astype(np.float32)
    return np.log(np.maximum(probabilities, MIN_PROBABILITY)).astype(np.float32)


def probabilities_of(logits: np.ndarray, task: TaskConfig) -> np.ndarray:
    """Softmax in float64, or the sigmoid of each logit of a multi-label task, [rows, classes]."""
    logits = logits.astype(np.float64)
    if task.is_multi_label:
        return 0.5 * (1 + np.tanh(0.5 * logits))
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def average(outputs: Sequence[np.ndarray], weights: Sequence[float], task: TaskConfig) -> np.ndarray:
    """The weighted mean of several teachers: of their probabilities, as logits; of their scores for a score.

    One teacher's outputs are returned as they are.

    Args:
        outputs: logits or scores per teacher, [rows, outputs] each.
        weights: one per teacher; only their ratios count.
        task: of the rows.

    Returns:
        [rows, outputs] float32.
    """
    if len(outputs) == 1:
        return outputs[0]
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    values = [one.astype(np.float64) if task.is_regression else probabilities_of(one, task) for one in outputs]
    mean = np.tensordot(shares, np.stack(values), axes=1)
    return mean.astype(np.float32) if task.is_regression else logits_of(mean, task)
