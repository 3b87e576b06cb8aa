"""Open a file or data set of rows by its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from kdrun.data.files.byte_checks import check_bytes
from kdrun.data.files.delimited import DelimitedFile
from kdrun.data.files.json_rows import open_json
from kdrun.data.files.table_file import ArrowTable, TableFile, reading
from kdrun.data.hub_datasets import check_plain_columns
from kdrun.data.local_folder import check_dataset_folder
from kdrun.data.sources.split_files import listing
from kdrun.errors import DataError, did_you_mean
from kdrun.storage import json_reader

if TYPE_CHECKING:
    from datasets import Dataset

DELIMITED, JSON, PARQUET, TEXT = (".csv", ".tsv"), (".json", ".jsonl", ".ndjson"), (".parquet",), (".txt",)
SUFFIXES = (*DELIMITED, *JSON, *PARQUET)
"""Suffixes of files with labeled rows."""
BATCH_ROWS = 1024
"""Rows of a Parquet file in memory at a time where rows are read in batches."""
STATE, SPLITS = "state.json", "dataset_dict.json"
"""Files by which a folder of `save_to_disk` is recognized: one data set, and several splits."""
PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")


def open_file(path: Path, key: str, delimiter: str | None = None) -> TableFile:
    """A file of rows, or the folder of one data set that `save_to_disk` wrote.

    Args:
        path: the file or folder.
        key: the config key that names it.
        delimiter: name of the delimiter of a CSV or TSV file; None follows from the file.

    Raises:
        DataError: there is no such file, its format is not read, or it is malformed.
    """
    check_exists(path, key)
    if path.is_dir():
        return _open_folder(path, key)
    suffix = path.suffix.lower()
    if suffix in DELIMITED:
        return DelimitedFile(path, delimiter)
    if suffix in JSON:
        return open_json(path)
    if suffix in PARQUET:
        return ParquetFile(path)
    if suffix in TEXT:
        raise DataError(f"{key}={path}: a .txt file has texts without labels, for data.unlabelled=FILE only")
    remedy = "unpack it" if suffix in PACKED else f"rename it to its format ({', '.join(SUFFIXES)})"
    raise DataError(f"{key}={path}: files of type {suffix or 'no suffix'} are not read; {remedy}")


def is_saved_folder(path: Path) -> bool:
    """Whether `save_to_disk` wrote a folder."""
    return any((path / name).is_file() for name in (STATE, SPLITS))


def check_exists(path: Path, key: str) -> None:
    """Check that a file or folder exists.

    Raises:
        DataError: it does not; names similar files.
    """
    if path.exists():
        return
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, names)
    where = "" if near or not names else f" ({path.parent} holds {listing(sorted(names))})"
    raise DataError(f"{key}={path}: no such file{near}{where}")


def open_texts(path: Path, key: str, delimiter: str | None = None) -> TableFile:
    """A file of unlabeled rows: as `open_file`, or a text file with one text per line.

    Raises:
        DataError: as `open_file`.
    """
    if path.is_file() and path.suffix.lower() in TEXT:
        check_bytes(path, path.name)
        return TextLines(path)
    return open_file(path, key, delimiter)


class TextLines(TableFile):
    """The lines of a text file as the column `text`; a line with the control character 1 is refused.

    Args:
        path: the file.
    """

    unit = "line"

    def __init__(self, path: Path) -> None:
        self._path, self.origin = path, path.name

    @property
    def column_names(self) -> list[str]:
        """The column `text`."""
        return ["text"]

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema([(name, pa.string()) for name in names])

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        read = csv.ReadOptions(column_names=self.column_names, block_size=1 << 24, use_threads=False)
        parse = csv.ParseOptions(delimiter="\x01", quote_char=False, ignore_empty_lines=False)
        convert = csv.ConvertOptions(column_types={"text": pa.string()}, strings_can_be_null=False)
        yield from csv.open_csv(self._path, read, parse, convert)


class ParquetFile(TableFile):
    """A Parquet file.

    Args:
        path: the file.

    Raises:
        DataError: it is no Parquet file.
    """

    def __init__(self, path: Path) -> None:
        self.origin = path.name
        with reading(self.origin):
            self._file = pq.ParquetFile(path, memory_map=True)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return self._file.schema_arrow.names

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self._file.metadata.num_rows

    @property
    def column_types(self) -> Mapping[str, pa.DataType]:
        """Types of the columns."""
        return {field.name: field.type for field in self._file.schema_arrow}

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema([self._file.schema_arrow.field(name) for name in names])

    def _batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._file.iter_batches(BATCH_ROWS, columns=list(names))


def open_splits(folder: Path) -> dict[str, TableFile] | None:
    """The splits of a folder that `DatasetDict.save_to_disk` wrote; None for any other path."""
    if not (folder / SPLITS).is_file():
        return None
    check_saved_folder(folder)
    from datasets import load_from_disk

    return tables_of(load_from_disk(str(folder)), folder.name)


def tables_of(splits: Any, origin: str) -> dict[str, TableFile]:
    """The splits of a `DatasetDict` by name."""
    check_plain_columns(splits, origin)
    return {str(name): _table(rows, f"{origin}/{name}") for name, rows in splits.items()}


def _open_folder(folder: Path, key: str) -> TableFile:
    if (folder / STATE).is_file():
        check_saved_folder(folder)
        from datasets import load_from_disk

        rows: Any = load_from_disk(str(folder))
        check_plain_columns({"": rows}, folder.name)
        return _table(rows, folder.name)
    if (folder / SPLITS).is_file():
        names = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        raise DataError(
            f"{key}={folder} holds several splits ({names}); name one of them, as in {key}={folder / 'train'}"
        )
    names = listing(sorted(path.name for path in folder.iterdir()))
    raise DataError(
        f"{key}={folder} is a folder without {STATE}, which save_to_disk writes; name one of its files ({names})"
    )


def check_saved_folder(folder: Path) -> None:
    """Check that a folder of `save_to_disk` names only files inside it.

    Raises:
        DataError: a link or a listed file is outside of the folder.
    """
    check_dataset_folder(folder)
    for state in folder.rglob(STATE):
        shape: dict[str, json_reader.Shape] = {"_data_files": [{"filename": str}]}
        for item in json_reader.read_object(state.read_bytes(), shape, str(state))["_data_files"]:
            if Path(item["filename"]).name != item["filename"]:
                raise DataError(
                    f"{state} lists the file {item['filename']!r}, outside of the folder; only its own count"
                )


def _table(rows: Dataset, origin: str) -> ArrowTable:
    from datasets import ClassLabel, LargeList, List

    def names(feature: Any) -> list[str]:
        while isinstance(feature, List | LargeList):
            feature = feature.feature
        return list(feature.names) if isinstance(feature, ClassLabel) else []

    class_names = {name: names(feature) for name, feature in rows.features.items()}
    table: Any = rows.with_format("arrow")[:] if rows.num_rows else rows.data.table.slice(0, 0)
    return ArrowTable(table, origin, class_names)
