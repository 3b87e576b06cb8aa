"""Notes of rows: each row once, of all processes."""

import pytest
import torch

from kdrun import ranks
from kdrun.methods.shared.row_notes import RowNotes


def test_rows_of_all_processes_come_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = RowNotes(), RowNotes()
    first.add(torch.tensor([4, 1]), {"a": torch.tensor([0.4, 0.1]), "b": torch.tensor([[4], [1]])})
    second.add(torch.tensor([2]), {"a": torch.tensor([0.2]), "b": torch.tensor([[2]])})
    second.add(torch.tensor([4, 1]), {"a": torch.tensor([0.4, 0.1]), "b": torch.tensor([[4], [1]])})  # a repetition
    parts = [first._parts, second._parts]
    monkeypatch.setattr(ranks, "gather", lambda _: parts)
    taken = first.take()
    assert taken is not None
    rows, values = taken
    assert rows.tolist() == [1, 2, 4]
    torch.testing.assert_close(values["a"], torch.tensor([0.1, 0.2, 0.4]))
    assert values["b"].tolist() == [[1], [2], [4]]


def test_notes_are_forgotten() -> None:
    notes = RowNotes()
    assert notes.take() is None
    notes.add(torch.tensor([0]), {"a": torch.tensor([1.0])})
    assert notes.take() is not None
    assert notes.take() is None
    notes.add(torch.tensor([0]), {"a": torch.tensor([1.0])})
    notes.discard()
    assert notes.take() is None
