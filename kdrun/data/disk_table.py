"""Tables of rows: small ones in memory, large ones on disk."""

from __future__ import annotations

import io
import mmap
import sys
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from kdrun.data import arrow_arrays
from kdrun.storage import cache

MEMORY_LIMIT = 1 << 24
"""Bytes up to which a table stays in memory."""
SLICE = 1 << 22
"""Bytes that are written to a file at a time."""
WINDOW = 1 << 16
"""Rows that are taken from a table at a time."""


_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
"""The tables on disk that are in use."""


def release_memory() -> None:
    """Give memory back that is not in use: pages of tables on disk, which are read again when used, and Arrow's."""
    if sys.platform != "win32":
        for mapping in _mappings:
            mapping.madvise(mmap.MADV_DONTNEED)
    pa.default_memory_pool().release_unused()


class Spool(io.RawIOBase):
    """Bytes that are written once and then read in place.

    They are in memory up to a limit, then in a file of the cache folder that has no name: the system deletes it with
    the last use of the bytes, also after a crash.
    """

    def __init__(self) -> None:
        self._file: BinaryIO = io.BytesIO()
        self._size = 0

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Number of bytes so far."""
        return self._size

    def write(self, data: Any) -> int:
        """Append bytes.

        Raises:
            PathError: the cache folder is not writable.
        """
        size = memoryview(data).nbytes
        if self._size + size > MEMORY_LIMIT and isinstance(self._file, io.BytesIO):
            memory, self._file = self._file, _unnamed_file()
            self._file.write(memory.getbuffer())
        self._file.write(data)
        self._size += size
        return size

    def finish(self) -> pa.Buffer:
        """All bytes, those of a file memory-mapped; nothing can be written afterwards."""
        file = self._file
        if isinstance(file, io.BytesIO):
            return pa.py_buffer(file.getbuffer())
        file.flush()
        with file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _mappings.add(mapping)
        return pa.py_buffer(mapping)


def _unnamed_file() -> Any:
    root = cache.cache_root()
    cache.make_writable(root)
    return tempfile.TemporaryFile(dir=root)


def collect(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """The rows of batches as one table, with one batch at a time in memory.

    Args:
        batches: rows of this schema.
        schema: the columns.
    """
    spool = Spool()
    with pa.ipc.new_file(spool, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    table = pa.ipc.open_file(spool.finish()).read_all()
    release_memory()
    return table


def write_batch(path: Path, batch: pa.RecordBatch) -> None:
    """Write one batch to a file, column by column in slices, so that columns on disk do not fill the memory."""
    with path.open("wb") as file, pa.ipc.new_file(_SlicedFile(file), batch.schema) as writer:
        writer.write_batch(batch)


class _SlicedFile(io.RawIOBase):
    """Writes to a file in slices, and releases memory after each."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Number of bytes so far."""
        return self._file.tell()

    def write(self, data: Any) -> int:
        """Write all of the bytes."""
        content = memoryview(data).cast("B")
        for start in range(0, len(content), SLICE):
            self._file.write(content[start : start + SLICE])
            if len(content) > SLICE:
                release_memory()
        return len(content)


def take(table: pa.Table, indices: np.ndarray) -> pa.Table:
    """These rows of a table, in this order; a large table is copied in windows, so that memory does not grow with it.

    Args:
        table: the rows.
        indices: row numbers, [rows]; may contain repeats.
    """
    if table.nbytes <= MEMORY_LIMIT:
        return table.take(arrow_arrays.numbers(indices))
    starts = range(0, len(indices), WINDOW)
    return collect((_window(table, indices[start : start + WINDOW]) for start in starts), table.schema)


def _window(table: pa.Table, indices: np.ndarray) -> pa.RecordBatch:
    """A few rows, each read from its own chunk: `take` on the whole table would join its chunks first."""
    order = np.argsort(indices, kind="stable")
    pieces = [piece.take(arrow_arrays.numbers(rows)) for piece, rows in _by_chunk(table, indices[order])]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    joined = pa.Table.from_batches(pieces).combine_chunks().take(arrow_arrays.numbers(back)).combine_chunks()
    release_memory()
    return joined.to_batches()[0]


def _by_chunk(table: pa.Table, rows: np.ndarray) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """The chunks that hold these sorted rows, and the rows' positions in each."""
    start = 0
    for chunk in table.to_batches():
        first, last = np.searchsorted(rows, (start, start + chunk.num_rows))
        if first < last:
            yield chunk, rows[first:last] - start
        start += chunk.num_rows
