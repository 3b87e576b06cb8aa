"""Tables on disk: the same rows as in memory, no file left, memory that does not grow."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kdrun.data import disk_table
from kdrun.data.splits import label_sets
from kdrun.errors import PathError

COUNT = 500


def rows(count: int = COUNT) -> pa.Table:
    """Texts with a missing one, and label sets, in chunks of 64 rows."""
    texts = pa.array([None if i == 3 else f"text {i}" for i in range(count)])
    labels = label_sets(np.stack([np.arange(count) % 2, np.arange(count) % 3 == 0], axis=1).astype(np.int8))
    return pa.Table.from_batches(pa.table({"text": texts, "label": labels}).to_batches(64))


@pytest.fixture(params=[disk_table.MEMORY_LIMIT, 1000], ids=["memory", "disk"])
def limit(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(disk_table, "MEMORY_LIMIT", request.param)
    monkeypatch.setattr(disk_table, "WINDOW", 100)
    return request.param


def test_collected_rows_are_the_rows_of_the_batches(limit: int, tmp_path: Path) -> None:
    table = rows()
    collected = disk_table.collect(table.to_batches(), table.schema)
    assert collected.equals(table)
    assert (tmp_path / "cache").exists() == (limit == 1000)
    assert not list(tmp_path.rglob("cache/*"))  # the file has no name
    disk_table.release_memory()
    assert collected.equals(table)


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize("order", ["sorted", "random", "repeated", "none"])
def test_taken_rows_are_those_of_arrow(order: str) -> None:
    stream = np.random.default_rng(1)
    indices = {
        "sorted": np.arange(0, COUNT, 3),
        "random": stream.permutation(COUNT),
        "repeated": stream.integers(0, COUNT, 3 * COUNT),
        "none": np.arange(0),
    }[order]
    table = rows()
    assert disk_table.take(table, indices).equals(table.take(pa.array(indices)))


def test_a_large_table_is_not_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path))
    monkeypatch.setattr(disk_table, "MEMORY_LIMIT", 1 << 16)
    spool, piece = disk_table.Spool(), np.zeros(1 << 20, np.uint8)
    tracemalloc.start()
    try:
        for i in range(8):
            piece[:] = i
            spool.write(piece)
        content = spool.finish()
        assert tracemalloc.get_traced_memory()[1] < len(piece)
    finally:
        tracemalloc.stop()
    assert np.frombuffer(content, np.uint8)[:: len(piece)].tolist() == list(range(8))


def test_a_batch_in_slices_is_the_file_of_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_table, "SLICE", 100)
    batch = rows().combine_chunks().to_batches()[0]
    disk_table.write_batch(tmp_path / "ours", batch)
    with pa.ipc.new_file(str(tmp_path / "arrow"), batch.schema) as writer:
        writer.write_batch(batch)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "arrow").read_bytes()


def test_a_cache_that_is_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(disk_table, "MEMORY_LIMIT", 10)
    with pytest.raises(PathError, match=r"file cannot be used.*KDRUN_CACHE"):
        disk_table.collect(rows().to_batches(), rows().schema)
