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
