"""Domain prototypes and the transferability of a row (Meta-KD).

Plain NumPy on vectors that an encoder made: h(x), the mean of its last hidden states.
"""

from __future__ import annotations

import numpy as np

from kdrun.config.teacher import PrototypeLevel
from kdrun.errors import DataError


def prototypes(states: np.ndarray, labels: np.ndarray, domains: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """p_k^m: the mean of h over the rows of domain k with label m.

    Args:
        states: h(x), [rows, width].
        labels: class indices, [rows].
        domains: domain indices, [rows].
        shape: numbers of domains and of classes, (K, M).

    Returns:
        [K, M, width] float64; NaN where a domain has no row of a class.
    """
    sums = np.zeros((*shape, states.shape[1]))
    np.add.at(sums, (domains, labels), states)
    counts = np.zeros(shape)
    np.add.at(counts, (domains, labels), 1)
    with np.errstate(invalid="ignore"):
        return sums / counts[..., None]


def domain_prototypes(states: np.ndarray, domains: np.ndarray, count: int) -> np.ndarray:
    """The mean of h over all rows of each domain, [K, width] float64; NaN for a domain without rows."""
    return prototypes(states, np.zeros_like(domains), domains, (count, 1))[:, 0]


def transferability(
    states: np.ndarray,
    labels: np.ndarray,
    domains: np.ndarray,
    count: tuple[int, int],
    kind: PrototypeLevel = PrototypeLevel.class_,
    own_weight: float = 0.5,
) -> np.ndarray:
    """t(x): how near a row is to the prototypes of its class, in its own domain and in the others.

        class:   t(x) = α · cos(p_k^m, h(x)) + (1 − α)/(K − 1) · Σ_{k′ ≠ k} cos(p_{k′}^m, h(x))
        domain:  t(x) = α · cos(p_k, h(x)) + (1 − α) · cos(mean_{k′ ≠ k} p_{k′}, h(x))

    The second is the authors' code; the paper's text has the first (check). A domain without a row of the class, or
    without any, is left out of the sum and of K.

    Args:
        states: h(x), [rows, width].
        labels: class indices, [rows].
        domains: domain indices, [rows].
        count: numbers of domains and of classes of the task, (K, M).
        kind: what a prototype is the mean of.
        own_weight: α.

    Returns:
        [rows] float32, between −1 and 1.

    Raises:
        DataError: the rows of a class are of one domain only: there is nothing to transfer to.
    """
    if kind is PrototypeLevel.domain:
        return _by_domain(states, domains, count[0], own_weight)
    centres = prototypes(states, labels, domains, count)
    others = np.isfinite(centres[..., 0]).sum(axis=0) - 1
    lonely = [int(m) for m in np.unique(labels) if others[m] < 1]
    if lonely:
        raise DataError(f"rows of class {lonely[0]} stand in one domain only, so nothing transfers between domains")
    near = np.nan_to_num(_cosines(states, np.moveaxis(centres, 0, 1)[labels]))  # [rows, K]
    own = near[np.arange(len(near)), domains]
    rest = (near.sum(axis=1) - own) / others[labels]
    return (own_weight * own + (1 - own_weight) * rest).astype(np.float32)


def _by_domain(states: np.ndarray, domains: np.ndarray, count: int, own_weight: float) -> np.ndarray:
    centres = domain_prototypes(states, domains, count)
    present = np.isfinite(centres[:, 0])
    if present.sum() < 2:
        raise DataError("all rows stand in one domain, so nothing transfers between domains")
    filled = np.nan_to_num(centres)
    elsewhere = (filled.sum(axis=0) - filled) / (present.sum() - 1)
    own = _cosines(states, centres[domains][:, None])[:, 0]
    rest = _cosines(states, elsewhere[domains][:, None])[:, 0]
    return (own_weight * own + (1 - own_weight) * rest).astype(np.float32)


def _cosines(states: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Cosines of rows [rows, width] with their centres [rows, k, width], [rows, k]; 0 with a vector of length 0."""
    products = np.einsum("nd,nkd->nk", states, centres)
    lengths = np.linalg.norm(states, axis=1)[:, None] * np.linalg.norm(centres, axis=2)
    return products / np.maximum(lengths, np.finfo(np.float64).tiny)
