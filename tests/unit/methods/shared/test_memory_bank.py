"""Memory banks: first entries, draws, negatives, updates of several processes, and checkpoints."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from kdrun import ranks
from kdrun.methods.shared.memory_bank import MemoryBank

ROWS = torch.tensor([1, 3])
VECTORS = {"student": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "teacher": torch.tensor([[0.0, 1.0], [1.0, 0.0]])}


def bank(**changes: Any) -> MemoryBank:
    return MemoryBank(**{"num_rows": 5, "size": 2, "momentum": 0.5, "seed": 1, **changes})


def test_first_entries_depend_on_the_seed_and_have_length_one_on_average() -> None:
    one, other = bank(num_rows=4000, size=8), bank(num_rows=4000, size=8, seed=2)
    assert one.entries["student"].square().sum(dim=1).mean().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(one.entries["student"], one.entries["teacher"])
    assert not torch.equal(one.entries["student"], other.entries["student"])
    assert torch.equal(one.entries["student"], bank(num_rows=4000, size=8).entries["student"])


def test_the_mean_score_is_that_of_uniform_entries() -> None:
    """Entries are uniform within ±√(3/d): E exp(a · b) = sinh(c)/c, c = a · √(3/d), per dimension of a direction."""
    a = 1 / math.sqrt(16) / 0.5  # a direction with equal parts, divided by τ
    c = a * math.sqrt(3 / 16)
    expected = 16 * math.log(math.sinh(c) / c)
    assert bank(num_rows=4096, size=16).log_mean_score(0.5, 1) == pytest.approx(expected, abs=0.01)


def test_draws_are_without_repetition_and_depend_on_phase_and_step() -> None:
    memory = bank(num_rows=50)
    first = memory.draw(20, 1, "train", 3)
    assert len(set(first.tolist())) == 20
    assert torch.equal(first, memory.draw(20, 1, "train", 3))
    assert not torch.equal(first, memory.draw(20, 1, "train", 4))
    assert memory.draw(60, 1, "train", 3).tolist() == list(range(50))


def test_negatives_are_other_rows_and_of_another_class_if_classes_count() -> None:
    memory, drawn = bank(), torch.tensor([0, 1, 2, 3])
    memory.classes = torch.tensor([0, 0, 1, -1, 1])
    everything = memory.allowed(ROWS, None, drawn)
    assert everything.tolist() == [[True, False, True, True], [True, True, True, False]]
    classes = memory.allowed(ROWS, torch.tensor([0, 1]), drawn)  # an unknown class counts as another one
    assert classes.tolist() == [[False, False, True, True], [True, True, False, False]]
    unlabeled = memory.allowed(ROWS, torch.tensor([-1, -1]), drawn)
    assert unlabeled.tolist() == everything.tolist()


def test_an_update_takes_the_normalized_mean_after_the_step() -> None:
    memory = bank()
    before = {role: entries.clone() for role, entries in memory.entries.items()}
    memory.remember(ROWS, VECTORS, torch.tensor([1, 0]))
    assert torch.equal(memory.entries["student"], before["student"])
    memory.update()
    for role, entries in memory.entries.items():
        expected = before[role].clone()
        expected[ROWS] = F.normalize(0.5 * before[role][ROWS] + 0.5 * VECTORS[role], dim=-1)
        torch.testing.assert_close(entries, expected)
    assert memory.classes.tolist() == [-1, 1, -1, 0, -1]
    memory.update()  # nothing new was noted
    assert memory.classes.tolist() == [-1, 1, -1, 0, -1]


def test_processes_enter_the_rows_of_all_and_a_repeated_one_once(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, first, second = bank(), bank(), bank()
    for memory, part in ((alone, slice(None)), (first, slice(1)), (second, slice(1, 2)), (second, slice(1))):
        memory.remember(ROWS[part], {role: v[part] for role, v in VECTORS.items()}, None)
    alone.update()
    parts = [first._notes._parts, second._notes._parts]
    monkeypatch.setattr(ranks, "gather", lambda value: parts)
    first.update()
    second.update()
    for role in ("student", "teacher"):
        assert torch.equal(first.entries[role], alone.entries[role])
        assert torch.equal(second.entries[role], alone.entries[role])


def test_a_checkpoint_restores_the_banks_and_refuses_others() -> None:
    memory, other = bank(), bank(seed=2)
    memory.remember(ROWS, VECTORS, torch.tensor([1, 0]))
    memory.update()
    other.load_state({name: value.clone() for name, value in memory.state().items()})
    assert all(torch.equal(value, other.state()[name]) for name, value in memory.state().items())
    with pytest.raises(ValueError, match=r"bank_student of the checkpoint is \[5, 2\], and this run's \[6, 2\]"):
        bank(num_rows=6).load_state(memory.state())
