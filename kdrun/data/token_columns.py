"""Tokens of many rows as Arrow columns, long ones on disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from kdrun.data import arrow_arrays, disk_table
from kdrun.data.disk_table import Spool

TRUNCATED = b"truncated"
"""Key of the file's metadata: the number of rows that the length limit cut."""
RELEASE_EVERY = 8
"""Chunks after which memory that is not in use is given back."""


def token_columns(chunks: Iterator[dict[str, np.ndarray]]) -> pa.RecordBatch:
    """Chunks of rows as one record batch, so that each column is contiguous; long columns are on disk."""
    lengths, num_truncated = [np.zeros(0, np.int32)], 0
    spools: dict[str, Spool] = {}
    types: dict[str, pa.DataType] = {}
    for chunk in chunks:
        lengths.append(chunk.pop("lengths"))
        num_truncated += int(chunk.pop("truncated").sum())
        for name, values in chunk.items():
            spools.setdefault(name, Spool()).write(values)
            types[name] = pa.from_numpy_dtype(values.dtype)
        if len(lengths) % RELEASE_EVERY == 0:
            disk_table.release_memory()
    offsets = arrow_arrays.numbers(row_offsets(np.concatenate(lengths)))
    columns = {}
    for name, spool in spools.items():
        data, size = spool.finish(), types[name].bit_width // 8
        values = pa.Array.from_buffers(types[name], data.size // size, [None, data])
        columns[name] = pa.LargeListArray.from_arrays(offsets, values)
    return pa.RecordBatch.from_pydict(columns, metadata={TRUNCATED: str(num_truncated)})


def row_offsets(lengths: np.ndarray) -> np.ndarray:
    """Start of each row among all tokens, and their total number: int64 [rows + 1], as 2³¹ tokens are possible."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
