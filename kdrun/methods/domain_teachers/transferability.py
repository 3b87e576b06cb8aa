"""Domain prototypes and the transferability of a row (Meta-KD).

NumPy on embeddings h(x), the mean of an encoder's last hidden states.
"""

from __future__ import annotations

import numpy as np

from kdrun.config.teacher import PrototypeLevel
from kdrun.errors import DataError


def prototypes(embeddings: np.ndarray, labels: np.ndarray, domains: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Prototypes p_k^m: the mean of h over the rows of domain k with label m.

    Args:
        embeddings: h(x), [rows, width].
        labels: class indices, [rows].
        domains: domain indices, [rows].
        shape: numbers of domains and of classes, (K, M).

    Returns:
        [K, M, width] float64; NaN for a class without rows in a domain.
    """
    sums = np.zeros((*shape, embeddings.shape[1]))
    np.add.at(sums, (domains, labels), embeddings)
    counts = np.zeros(shape)
    np.add.at(counts, (domains, labels), 1)
    with np.errstate(invalid="ignore"):
        return sums / counts[..., None]


def domain_prototypes(embeddings: np.ndarray, domains: np.ndarray, count: int) -> np.ndarray:
    """Mean of h over all rows of each domain, [K, width] float64; NaN for a domain without rows."""
    return prototypes(embeddings, np.zeros_like(domains), domains, (count, 1))[:, 0]


def transferability(
    embeddings: np.ndarray,
    labels: np.ndarray,
    domains: np.ndarray,
    count: tuple[int, int],
    level: PrototypeLevel = PrototypeLevel.class_,
    own_weight: float = 0.5,
) -> np.ndarray:
    """Transferability t(x): similarity of a row to the prototypes of its class, in its domain and in the others.

        class:   t(x) = α · cos(p_k^m, h(x)) + (1 − α)/(K − 1) · Σ_{k′ ≠ k} cos(p_{k′}^m, h(x))
        domain:  t(x) = α · cos(p_k, h(x)) + (1 − α) · cos(mean_{k′ ≠ k} p_{k′}, h(x))

    The second is the authors' code; the paper's text has the first (check). Domains without rows of the class, or
    without any rows, count neither in the sum nor in K.

    Args:
        embeddings: h(x), [rows, width].
        labels: class indices, [rows].
        domains: domain indices, [rows].
        count: numbers of domains and of classes of the task, (K, M).
        level: whether prototypes are means per class or per domain.
        own_weight: α.

    Returns:
        [rows] float32, between −1 and 1.

    Raises:
        DataError: the rows of a class are of one domain only, so nothing transfers.
    """
    if level is PrototypeLevel.domain:
        return _domain_level(embeddings, domains, count[0], own_weight)
    class_prototypes = prototypes(embeddings, labels, domains, count)
    others = np.isfinite(class_prototypes[..., 0]).sum(axis=0) - 1
    single_domain = [int(m) for m in np.unique(labels) if others[m] < 1]
    if single_domain:
        raise DataError(
            f"rows of class {single_domain[0]} are of one domain only, so nothing transfers between domains; add rows "
            "of another domain"
        )
    cosines = np.nan_to_num(_cosines(embeddings, np.moveaxis(class_prototypes, 0, 1)[labels]))  # [rows, K]
    own_cosines = cosines[np.arange(len(cosines)), domains]
    other_cosines = (cosines.sum(axis=1) - own_cosines) / others[labels]
    return (own_weight * own_cosines + (1 - own_weight) * other_cosines).astype(np.float32)


def _domain_level(embeddings: np.ndarray, domains: np.ndarray, count: int, own_weight: float) -> np.ndarray:
    means = domain_prototypes(embeddings, domains, count)
    present = np.isfinite(means[:, 0])
    if present.sum() < 2:
        raise DataError("all rows are of one domain, so nothing transfers between domains; add rows of another domain")
    filled = np.nan_to_num(means)
    means_of_others = (filled.sum(axis=0) - filled) / (present.sum() - 1)
    own_cosines = _cosines(embeddings, means[domains][:, None])[:, 0]
    other_cosines = _cosines(embeddings, means_of_others[domains][:, None])[:, 0]
    return (own_weight * own_cosines + (1 - own_weight) * other_cosines).astype(np.float32)


def _cosines(embeddings: np.ndarray, row_prototypes: np.ndarray) -> np.ndarray:
    """Cosines of rows [rows, width] with their prototypes [rows, k, width], [rows, k]; 0 for vectors of length 0."""
    products = np.einsum("nd,nkd->nk", embeddings, row_prototypes)
    lengths = np.linalg.norm(embeddings, axis=1)[:, None] * np.linalg.norm(row_prototypes, axis=2)
    return products / np.maximum(lengths, np.finfo(np.float64).tiny)
