"""Splits: columns, fingerprints, subsets and overlap."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kdrun.data.splits import Split, content_hash, count_overlap, label_sets, make_split, subset


def single(texts: list[str], labels: list[int] | None = None, name: str = "train") -> Split:
    values = labels if labels is not None else [i % 2 for i in range(len(texts))]
    return make_split(name, [pa.array(texts)], pa.array(values, pa.int64()), "TEST/train.tsv")


def pair(texts: list[tuple[str, str]]) -> Split:
    first, second = (pa.array(column) for column in zip(*texts, strict=True))
    return make_split("train", [first, second], pa.array([0] * len(texts)), "TEST/train.tsv")


def test_columns_and_types_of_a_classification_split():
    split = single(["a ", " b", "c"])
    assert split.table.column_names == ["text", "label"]
    assert split.table.schema.field("text").type == pa.string()
    assert split.labels().dtype == np.int32
    assert not split.is_pair
    assert split.row(1) == {"text": "b", "label": 1}


def test_scores_become_float32_and_pairs_keep_both_texts():
    split = make_split("dev", [pa.array(["a"]), pa.array([""])], pa.array([2.1]), "STS-B/dev.tsv")
    assert split.labels().dtype == np.float32
    assert split.row(0) == {"text": "a", "text_pair": "", "label": pytest.approx(2.1)}


def multi_label(texts: list[str], labels: list[list[int]]) -> Split:
    return make_split("train", [pa.array(texts)], label_sets(np.array(labels)), "TOPICS/train.csv")


def test_label_sets_become_a_matrix_and_survive_selection_and_chunks():
    split = multi_label(["a", "b", "c"], [[1, 0], [1, 1], [0, 0]])
    assert split.labels().dtype == np.int8
    np.testing.assert_array_equal(split.labels(), [[1, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal(split.select(np.array([2, 1])).labels(), [[0, 0], [1, 1]])
    assert split.row(1)["label"] == [1, 1]
    table = split.table
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert content_hash(chunked) == split.fingerprint
    assert split.select(np.array([0, 1, 2])).fingerprint == split.fingerprint
    assert multi_label(["a", "b", "c"], [[1, 1], [1, 0], [0, 0]]).fingerprint != split.fingerprint
    wide = pa.FixedSizeListArray.from_arrays(pa.array([1, 0, 1, 1, 0, 0], pa.int64()), 2)
    assert make_split("dev", [pa.array(["a", "b", "c"])], wide, "x").fingerprint == split.fingerprint


def test_label_sets_refuse_other_values_and_nulls():
    with pytest.raises(ValueError, match="2"):
        label_sets(np.array([[0, 2]]))
    for values in (pa.array([[1, 0], None], pa.list_(pa.int8(), 2)), pa.array([[1, None]], pa.list_(pa.int8(), 2))):
        with pytest.raises(ValueError, match="null"):
            make_split("dev", [pa.array(["a"] * len(values))], values, "x")


@pytest.mark.parametrize("i", [-1, 3])
def test_row_refuses_numbers_outside(i: int):
    with pytest.raises(IndexError, match=r"rows 0 … 2"):
        single(["a", "b", "c"]).row(i)


def test_fingerprint_depends_on_content_only():
    split = single(["ab", "c", "dé"], [0, 1, 0])
    assert split.fingerprint == single(["ab", "c", "dé"], [0, 1, 0], name="dev").fingerprint
    assert len(split.fingerprint) == 64
    for texts, labels in [
        (["a", "bc", "dé"], [0, 1, 0]),
        (["ab", "c", "dé"], [0, 1, 1]),
        (["c", "ab", "dé"], [0, 1, 0]),
    ]:
        assert single(texts, labels).fingerprint != split.fingerprint


def test_fingerprint_does_not_depend_on_chunks_or_slices():
    split = single(["ab", "c", "dé", ""], [0, 1, 0, 1])
    table = split.table
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 3)])
    assert content_hash(chunked) == split.fingerprint
    longer = single(["x", "ab", "c", "dé", "", "y"], [1, 0, 1, 0, 1, 0])
    assert content_hash(longer.table.slice(1, 4)) == split.fingerprint


def test_select_takes_rows_in_the_given_order():
    split = single(["a", "b", "c"], [0, 1, 1])
    chosen = split.select(np.array([2, 0]))
    assert [chosen.row(i)["text"] for i in range(2)] == ["c", "a"]
    assert chosen.fingerprint == single(["c", "a"], [1, 0]).fingerprint
    assert split.select(np.arange(3)).fingerprint == split.fingerprint


def test_subset_is_seeded_ordered_and_nested():
    split = single([f"text {i:03}" for i in range(100)])

    def texts(part: Split) -> list[str]:
        return part.table.column("text").to_pylist()

    small, large = texts(subset(split, 10, seed=1)), texts(subset(split, 30, seed=1))
    assert len(small) == 10
    assert small == sorted(small)
    assert set(small) < set(large)
    assert texts(subset(split, 10, seed=1)) == small
    assert texts(subset(split, 10, seed=2)) != small


@pytest.mark.parametrize("rows", [3, 4])
def test_subset_of_all_rows_is_the_split_itself(rows: int):
    split = single(["a", "b", "c"])
    assert subset(split, rows, seed=1) is split


def test_overlap_counts_rows_of_dev():
    train = single(["a", "b", "c"])
    assert count_overlap(train, single(["x", "a", "a", "b"], name="dev")) == 3
    assert count_overlap(train, single(["x"], name="dev")) == 0


def test_overlap_of_pairs_needs_both_texts():
    train = pair([("a", "b"), ("c", "d")])
    assert count_overlap(train, pair([("a", "d"), ("b", "a"), ("c", "d"), ("ab", "")])) == 1
