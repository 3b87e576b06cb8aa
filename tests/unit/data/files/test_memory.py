"""Memory of own rows: texts of any length are on disk, a few bytes per row are in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdrun.config.data import FilesDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data import disk_table, token_columns
from kdrun.data.files import dataset_files, delimited, json_rows, open_file, table_file
from kdrun.data.files.dataset_files import OwnData, load_own_data

OWN = TaskConfig(name="own", headline="")
TEXT_BYTES = 2000
"""Bytes of a text: far more than a row may take in memory."""
MOST_BYTES_PER_ROW = 300
POOLS: list[pa.MemoryPool] = []
"""Pools that were in use: a buffer may live longer than the test that allocated it."""
SMALL, LARGE = 1500, 4000


def texts(count: int) -> list[str]:
    stream = np.random.default_rng(1)
    letters = stream.integers(97, 123, (count, TEXT_BYTES), np.uint8)
    letters[:, ::6] = ord(" ")
    return [f"{i} {row.tobytes().decode().strip()}" for i, row in enumerate(letters)]


def write_csv(path: Path, count: int) -> None:
    lines = [f"{text},{('no', 'yes')[i % 2]}" for i, text in enumerate(texts(count))]
    path.write_text("\n".join(["text,label", *lines]) + "\n")


def write_jsonl(path: Path, count: int) -> None:
    rows = ({"text": text, "label": ("no", "yes")[i % 2]} for i, text in enumerate(texts(count)))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, count: int) -> None:
    table = pa.table({"text": texts(count), "label": [("no", "yes")[i % 2] for i in range(count)]})
    pq.write_table(table, path, row_group_size=200)


FORMATS: dict[str, Callable[[Path, int], None]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


@pytest.fixture
def small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that are small against the files, as the real ones are against large files."""
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    for module in (table_file, delimited, json_rows):
        monkeypatch.setattr(module, "BLOCKS", (1 << 15, 1 << 20))
    monkeypatch.setattr(open_file, "BATCH_ROWS", 50)
    monkeypatch.setattr(disk_table, "MEMORY_LIMIT", 1 << 16)
    monkeypatch.setattr(disk_table, "WINDOW", 50)
    monkeypatch.setattr("kdrun.data.splits.KEY_ROWS", 50)
    monkeypatch.setattr("kdrun.data.files.columns.SAMPLE", 50)
    monkeypatch.setattr("kdrun.data.files.byte_checks.BLOCK", 1 << 16)


def load(path: Path) -> OwnData:
    dataset_files._loaded.clear()
    return load_own_data(FilesDataConfig(name="files", train=str(path), dev=0.2), OWN)


def peak_of(path: Path) -> int:
    """Most bytes of Arrow, numpy and Python objects while a file is read and its dev rows are drawn."""
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        data = load(path)
        assert data.splits["train"].num_rows > data.splits["dev"].num_rows
        return (pool.max_memory() or 0) + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", FORMATS)
def test_texts_are_not_in_memory(suffix: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{count}.{suffix}" for count in (SMALL, LARGE)]
    for path, count in zip(paths, (SMALL, LARGE), strict=True):
        FORMATS[suffix](path, count)
    load(paths[0])  # memory of the first call in a process does not count
    small, large = map(peak_of, paths)
    assert (large - small) / (LARGE - SMALL) < MOST_BYTES_PER_ROW


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_on_disk_are_the_rows_in_memory(
    suffix: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"rows.{suffix}"
    FORMATS[suffix](path, SMALL)
    in_memory = load(path)
    request.getfixturevalue("small_blocks")
    on_disk = load(path)
    assert on_disk.task == in_memory.task
    for name, split in in_memory.splits.items():
        assert on_disk.splits[name].table.equals(split.table)
        assert on_disk.splits[name].fingerprint == split.fingerprint
        assert on_disk.splits[name].notes == split.notes


def test_tokens_are_not_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path))
    monkeypatch.setattr(disk_table, "MEMORY_LIMIT", 1 << 16)
    num_chunks, num_tokens = 20, 1 << 18

    def chunk() -> dict[str, np.ndarray]:
        flat = np.arange(num_tokens, dtype=np.int32)
        return {"lengths": np.array([num_tokens], np.int32), "truncated": np.array([False]), "input_ids": flat}

    tracemalloc.start()
    try:
        batch = token_columns.token_columns(chunk() for _ in range(num_chunks))
        disk_table.write_batch(tmp_path / "tokens.arrow", batch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * chunk()["input_ids"].nbytes
    assert batch.column("input_ids").flatten().to_numpy()[::num_tokens].tolist() == [0] * num_chunks
