"""Batches for training: aligned rows, shared tensors, counts of loaded rows."""

from typing import Any

import numpy as np
import pytest
import torch

from kdrun.data.loader import BatchLoader


class Table:
    """Fake tokenized split of `rows` rows."""

    def __init__(self, rows: int) -> None:
        self.num_rows, self.lengths = rows, np.arange(rows) % 3 + 1

    def batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.from_numpy(rows)[:, None]}


def loader(
    tables: dict[str, Any], labels: np.ndarray | None, logits: np.ndarray | None = None, **extras: Any
) -> BatchLoader:
    return BatchLoader(tables, labels, torch.device("cpu"), logits, extras=extras)


def test_a_batch_holds_the_given_rows() -> None:
    table, logits = Table(5), np.arange(10, dtype=np.float32).reshape(5, 2)
    batches = loader({"student": table, "teacher": table}, np.array([0, 1, 0, 1, 1], dtype=np.int32), logits)
    batch = batches.load_batch(np.array([4, 0]), "train", 7)
    assert batch.ids.tolist() == [4, 0]
    assert batch.labels is not None
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [1, 0]
    assert batch.teacher_logits is not None
    assert batch.teacher_logits.tolist() == [[8, 9], [0, 1]]
    assert (batch.phase, batch.step) == ("train", 7)
    assert batch.inputs["student"]["input_ids"] is batch.inputs["teacher"]["input_ids"]
    assert batch.tokenization == {"student": "student", "teacher": "student"}


def test_scores_stay_scores() -> None:
    batch = loader({"student": Table(2)}, np.array([1.5, 2.5], dtype=np.float32)).load_batch(np.array([1]), "train", 0)
    assert batch.labels is not None
    assert batch.labels.tolist() == [2.5]


def test_loaded_rows_and_labels_are_counted() -> None:
    batches = loader({"student": Table(5)}, np.zeros(5, dtype=np.int32))
    batches.load_batch(np.array([1, 2]), "train", 0)
    batches.load_batch(np.array([2, 3]), "train", 1)
    assert (batches.num_rows_seen("train"), batches.num_labels_seen) == (3, 3)


def test_without_labels_no_label_is_loaded_or_counted() -> None:
    batches = loader({"student": Table(5)}, None)
    assert batches.load_batch(np.array([0]), "train", 0).labels is None
    assert (batches.num_rows_seen("train"), batches.num_rows_seen("ood"), batches.num_labels_seen) == (1, 0, 0)


def test_order_is_a_function_of_seed_and_epoch() -> None:
    batches = loader({"student": Table(50)}, None)
    first = [rows.tolist() for rows in batches.epoch_batches(8, 1, "train", 0)]
    assert first == [rows.tolist() for rows in batches.epoch_batches(8, 1, "train", 0)]
    assert first != [rows.tolist() for rows in batches.epoch_batches(8, 1, "train", 1)]
    assert first != [rows.tolist() for rows in batches.epoch_batches(8, 2, "train", 0)]
    assert sorted(i for rows in first for i in rows) == list(range(50))


def test_longest_first_order_starts_with_the_longest_rows() -> None:
    table: Any = Table(50)
    longest = BatchLoader({"student": table}, None, torch.device("cpu"), order="longest_first")
    first, *_ = longest.epoch_batches(8, 1, "train", 0)
    assert table.lengths[first].tolist() == [3] * 8


def test_extras_travel_with_their_rows() -> None:
    domain = np.array([2, 0, 1], dtype=np.int32)
    batches = loader({"student": Table(3)}, None, weight=np.array([0.5, 1.5, 2.5]), domain=domain)
    batch = batches.load_batch(np.array([2, 0]), "train", 0)
    assert batch.extras["weight"].tolist() == [2.5, 0.5]
    assert batch.extras["domain"].tolist() == [1, 2]
    assert {name: values.dtype for name, values in batch.extras.items()} == {
        "weight": torch.float32, "domain": torch.int64,
    }  # fmt: skip
    assert loader({"student": Table(3)}, None).load_batch(np.array([0]), "train", 0).extras == {}


def test_misaligned_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="do not line up"):
        loader({"student": Table(5)}, np.zeros(4, dtype=np.int32))
    with pytest.raises(ValueError, match="'weight': 4"):
        loader({"student": Table(5)}, None, weight=np.zeros(4))
    with pytest.raises(ValueError, match="teacher logits"):
        loader({"student": Table(5)}, None, np.zeros((4, 2), dtype=np.float32))


def test_label_sets_are_a_float_matrix() -> None:
    batch = loader({"student": Table(2)}, np.array([[1, 0], [1, 1]], np.int8)).load_batch(np.array([1, 0]), "train", 0)
    assert batch.labels is not None
    assert batch.labels.dtype == torch.float32
    assert batch.labels.tolist() == [[1, 1], [1, 0]]


def test_unlabeled_rows_at_the_end_are_counted_apart() -> None:
    tables: dict[str, Any] = {"student": Table(5)}
    batches = BatchLoader(tables, np.array([0, 1, 0, -1, -1]), torch.device("cpu"), num_unlabeled=2)
    batches.load_batch(np.array([0, 3, 4]), "train", 0)
    assert (batches.num_rows_seen("train"), batches.num_rows_seen("unlabelled")) == (1, 2)
    assert batches.num_labels_seen == 1
    assert batches.num_rows_seen("ood") == 0
