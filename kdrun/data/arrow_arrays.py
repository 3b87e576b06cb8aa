"""Convert Arrow columns without importing pandas.

The first `pyarrow.array` or `to_numpy` imports it where it is installed, which takes longer than reading the embedded
rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def strings(values: Sequence[str]) -> pa.StringArray:
    """A column of strings, [rows].

    Raises:
        UnicodeEncodeError: a string has half of a surrogate pair.
        OverflowError: the strings have 2 GiB or more.
    """
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    if ends[-1] > np.iinfo(np.int32).max:
        raise OverflowError(f"strings of {ends[-1]} bytes do not fit into one Arrow array")
    return pa.StringArray.from_buffers(
        len(encoded), pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(encoded))
    )


def numbers(values: np.ndarray) -> pa.Array:
    """A column of the same numbers, [rows], which shares their memory if they are contiguous."""
    contiguous = np.ascontiguousarray(values)
    buffers = [None, pa.py_buffer(contiguous)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(contiguous.dtype), len(contiguous), buffers)


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a column, [rows]: a read-only view of an array of numbers, a copy of chunks.

    Strings and columns with nulls are converted by pyarrow, with pandas.
    """
    is_boolean = pa.types.is_boolean(column.type)
    if column.null_count or not (is_boolean or pa.types.is_primitive(column.type)):
        return column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    if is_boolean:
        return to_numpy(column.cast(pa.int8())).astype(bool)
    if isinstance(column, pa.ChunkedArray):
        empty = np.zeros(0, column.type.to_pandas_dtype())
        return np.concatenate([empty, *map(to_numpy, column.chunks)])
    dtype, data = column.type.to_pandas_dtype(), column.buffers()[1]
    if data is None:
        return np.zeros(0, dtype)
    return np.frombuffer(data, dtype)[column.offset : column.offset + len(column)]
