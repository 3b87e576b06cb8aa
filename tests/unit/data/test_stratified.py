"""Subsets and splits that keep the proportions of classes and domains."""

import numpy as np
import pyarrow as pa
import pytest

from kdrun import rng
from kdrun.data import stratified
from kdrun.data.splits import Split, label_sets, make_split


def rows(count: int, domains: int = 0) -> Split:
    """A split of numbered texts; every third label is 1, domains take turns in blocks of six."""
    numbers = np.arange(count)
    ids = pa.array(numbers // 6 % domains, pa.int32()) if domains else None
    texts = [pa.array([f"text {i}" for i in numbers])]
    return make_split("train", texts, pa.array((numbers % 3 == 0).astype(np.int32)), "toy", ("a note",), domains=ids)


def test_a_label_set_counts_as_its_rarest_class() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 0]], np.int8)
    assert stratified.rarest_classes(labels).tolist() == [2, 1, 0, 3, 2, 2]
    repeated = label_sets(np.tile(labels, (10, 1)))
    split = make_split("train", [pa.array([f"text {i}" for i in range(60)])], repeated, "toy")
    assert stratified.stratified_subset(split, 6, 0, "x").labels().sum(axis=0).tolist() == [4, 3, 1]


def texts(split: Split) -> list[str]:
    return split.table.column("text").to_pylist()


def test_every_prefix_of_the_order_has_the_strata_in_proportion() -> None:
    groups = np.repeat([0, 1, 2], [60, 30, 10])
    order = stratified.stratified_order(groups, rng.numpy_stream(1, "test"))
    assert sorted(order) == list(range(100))
    for size in (1, 10, 37, 50, 99):
        counts = np.bincount(groups[order[:size]], minlength=3)
        np.testing.assert_allclose(counts, size * np.array([0.6, 0.3, 0.1]), atol=1.0)
    np.testing.assert_array_equal(np.bincount(groups[order[:10]]), [6, 3, 1])
    assert list(order) != list(stratified.stratified_order(groups, rng.numpy_stream(2, "test")))


def test_a_smaller_subset_is_part_of_a_larger_one_in_row_order() -> None:
    split = rows(90)
    small, large = (stratified.stratified_subset(split, size, 3, "fraction") for size in (9, 30))
    assert (small.num_rows, large.num_rows) == (9, 30)
    assert set(texts(small)) < set(texts(large))
    assert small.labels().sum() == 3
    assert large.labels().sum() == 10
    assert texts(large) == sorted(texts(large), key=lambda text: int(text.split()[1]))
    assert texts(stratified.stratified_subset(split, 9, 3, "fraction")) == texts(small)
    assert texts(stratified.stratified_subset(split, 9, 4, "fraction")) != texts(small)


def test_only_the_selected_rows_are_reduced() -> None:
    split = rows(120, domains=4)
    among = split.domains() == 2
    reduced = stratified.stratified_subset(split, 6, 1, "fraction", among)
    domains = reduced.domains()
    assert domains is not None
    assert np.bincount(domains).tolist() == [30, 30, 6, 30]
    assert reduced.labels()[domains == 2].sum() == 2


def test_a_tenth_is_drawn_by_domain_and_class() -> None:
    split = rows(1200, domains=4)
    rest, test = stratified.stratified_split(split, "test")
    assert (rest.name, test.name, rest.num_rows, test.num_rows) == ("train", "test", 1080, 120)
    assert (rest.notes, test.notes) == (("a note",), ())
    assert not set(texts(rest)) & set(texts(test))
    cells = stratified.strata_of(test)
    assert np.bincount(cells).tolist() == [20, 10] * 4
    again = stratified.stratified_split(split, "test")[1]
    assert again.fingerprint == test.fingerprint
    assert stratified.stratified_split(split, "dev")[1].fingerprint != test.fingerprint


def test_scores_have_one_stratum() -> None:
    split = make_split("train", [pa.array(["a", "b"])], pa.array([0.5, 4.0], pa.float32()), "toy")
    assert stratified.strata_of(split).tolist() == [0, 0]
    assert stratified.stratified_subset(split, 1, 1, "fraction").num_rows == 1


@pytest.mark.parametrize("size", [0, 90])
def test_none_and_all(size: int) -> None:
    assert stratified.stratified_subset(rows(90), size, 1, "fraction").num_rows == size
