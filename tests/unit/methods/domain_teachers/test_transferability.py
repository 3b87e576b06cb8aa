"""Prototypes and transferability by hand, on vectors of two numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kdrun.config.teacher import PrototypeLevel
from kdrun.errors import DataError
from kdrun.methods.domain_teachers.transferability import domain_prototypes, prototypes, transferability

# two domains, two classes; rows 0 and 1 are of (domain 0, class 0), the others stand alone
STATES = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
LABELS = np.array([0, 0, 1, 0, 1])
DOMAINS = np.array([0, 0, 0, 1, 1])
HALF = math.sqrt(0.5)


def test_prototypes_by_hand() -> None:
    actual = prototypes(STATES, LABELS, DOMAINS, (2, 2))
    assert actual.shape == (2, 2, 2)
    np.testing.assert_allclose(actual[0], [[0.5, 0.5], [0.0, 2.0]])
    np.testing.assert_allclose(actual[1], [[3.0, 0.0], [0.0, 1.0]])


def test_a_class_that_a_domain_lacks_has_no_prototype() -> None:
    actual = prototypes(STATES[:4], LABELS[:4], DOMAINS[:4], (2, 2))
    assert np.isnan(actual[1, 1]).all()
    assert np.isfinite(actual[0]).all()


def test_class_level_transferability_by_hand() -> None:
    # row 0, (1, 0): own prototype (½, ½), cosine √½; that of domain 1, (3, 0), cosine 1
    # row 1, (0, 1): √½ and 0; row 2: 1 and 1; row 3, (3, 0): own 1, other √½; row 4: 1 and 1
    actual = transferability(STATES, LABELS, DOMAINS, (2, 2), own_weight=0.25)
    expected = [0.25 * HALF + 0.75, 0.25 * HALF, 1.0, 0.25 + 0.75 * HALF, 1.0]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert actual.dtype == np.float32


def test_the_others_share_what_is_left() -> None:
    # three domains of one class, along the axes: a row has cosine 1 with its own prototype and 0 with the two others
    states = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    actual = transferability(states, np.zeros(3, int), np.arange(3), (3, 1), own_weight=0.5)
    # ζ = (1 − ½)/2 = ¼: the second row is at cosine √½ of the third, and the third of the second
    np.testing.assert_allclose(actual, [0.5, 0.5 + 0.25 * HALF, 0.5 + 0.25 * HALF], rtol=1e-6)


def test_domain_level_transferability_by_hand() -> None:
    # domain prototypes: (1, 3)/3 and (3, 1)/2; with two domains, "elsewhere" is the other one
    np.testing.assert_allclose(domain_prototypes(STATES, DOMAINS, 2), [[1 / 3, 1.0], [1.5, 0.5]])
    actual = transferability(STATES, LABELS, DOMAINS, (2, 2), PrototypeLevel.domain, own_weight=0.5)
    small, large = 1 / math.sqrt(10), 3 / math.sqrt(10)
    expected = [
        0.5 * small + 0.5 * large,
        0.5 * large + 0.5 * small,
        0.5 * large + 0.5 * small,
        0.5 * large + 0.5 * small,
    ]
    np.testing.assert_allclose(actual[:4], expected, rtol=1e-6)
    lopsided = transferability(STATES, LABELS, DOMAINS, (2, 2), PrototypeLevel.domain, own_weight=1.0)
    np.testing.assert_allclose(lopsided, [small, large, large, large, small], rtol=1e-6)


# three domains, two classes: angles of the rows' vectors in degrees, all of length 1, and twice as long in one case
ANGLES = np.array([0.0, 60.0, 120.0, 30.0, 90.0, 180.0, 45.0])
THREE = (
    np.stack([np.cos(np.radians(ANGLES)), np.sin(np.radians(ANGLES))], axis=1)
    * np.array([1, 1, 1, 2, 1, 1, 1])[:, None]
)
THREE_LABELS, THREE_DOMAINS = np.array([0, 0, 1, 0, 1, 0, 1]), np.array([0, 0, 0, 1, 1, 2, 2])


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_three_domains_at_class_level_by_hand() -> None:
    # class 0: domain 0 has 0 and 60 degrees, mean 30; domain 1 has 30; domain 2 has 180
    # class 1: one row each, at 120, 90 and 45 degrees
    own, others = 0.4, (1 - 0.4) / 2
    expected = [
        own * cosine(30) + others * (cosine(30) + cosine(180)),  # row 0 at 0 degrees
        own * cosine(30) + others * (cosine(30) + cosine(120)),  # row 1 at 60
        own + others * (cosine(30) + cosine(75)),  # row 2 at 120
        own + others * (cosine(0) + cosine(150)),  # row 3 at 30; its length does not matter
        own + others * (cosine(30) + cosine(45)),  # row 4 at 90
        own + others * (cosine(150) + cosine(150)),  # row 5 at 180
        own + others * (cosine(75) + cosine(45)),  # row 6 at 45
    ]
    actual = transferability(THREE, THREE_LABELS, THREE_DOMAINS, (3, 2), own_weight=own)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_three_domains_at_domain_level_by_hand() -> None:
    # the centroid of the other domains is the plain mean of their means, whatever their numbers of rows
    root = math.sqrt(3)
    means = [((1 + 0.5 - 0.5) / 3, (0 + root / 2 + root / 2) / 3), ((root + 0) / 2, (1 + 1) / 2),
             ((-1 + HALF) / 2, HALF / 2)]  # fmt: skip
    elsewhere = [
        ((means[1][0] + means[2][0]) / 2, (means[1][1] + means[2][1]) / 2),
        ((means[0][0] + means[2][0]) / 2, (means[0][1] + means[2][1]) / 2),
        ((means[0][0] + means[1][0]) / 2, (means[0][1] + means[1][1]) / 2),
    ]
    expected = []
    for (x, y), domain in zip(THREE, THREE_DOMAINS, strict=True):
        parts = [
            (x * px + y * py) / math.hypot(x, y) / math.hypot(px, py) for px, py in (means[domain], elsewhere[domain])
        ]
        expected.append(0.4 * parts[0] + 0.6 * parts[1])
    actual = transferability(THREE, THREE_LABELS, THREE_DOMAINS, (3, 2), PrototypeLevel.domain, own_weight=0.4)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    # the row at 0 degrees: its domain's mean is at 60 degrees
    assert actual[0] == pytest.approx(0.4 * cosine(60) + 0.6 * elsewhere[0][0] / math.hypot(*elsewhere[0]), rel=1e-6)


def test_an_absent_prototype_is_left_out_of_the_mean() -> None:
    # the third domain has no row of class 0: its share falls to the second, not to a zero
    states = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    labels, domains = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
    actual = transferability(states, labels, domains, (3, 2), own_weight=0.5)
    np.testing.assert_allclose(actual, [0.5, 0.5, 1.0, 1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("kind", list(PrototypeLevel))
def test_one_domain_alone_is_refused(kind: PrototypeLevel) -> None:
    with pytest.raises(DataError, match="one domain"):
        transferability(STATES[:3], LABELS[:3], DOMAINS[:3], (2, 2), kind)
