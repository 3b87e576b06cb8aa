"""Read the test files of GLUE, whose rows have no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from kdrun.data.local_folder import check_inside
from kdrun.data.row_checks import RowProblems
from kdrun.data.sources.glue_folder import read_lines
from kdrun.data.sources.split_files import listing
from kdrun.data.splits import pc
from kdrun.errors import DataError, did_you_mean

INDEX = "index"
"""Column that numbers the rows, where a file has one."""


@dataclass(frozen=True)
class GlueTestFile:
    """Where the rows of one test file are.

    Attributes:
        folder: candidates for its path below the GLUE folder; the first existing one is read.
        text: its text columns in the folder layout.
        hub: configuration and split of `nyu-mll/glue`.
        hub_text: its text columns there.
        rows: official number of rows.
    """

    folder: tuple[str, ...]
    text: tuple[str, ...]
    hub: tuple[str, str]
    hub_text: tuple[str, ...]
    rows: int


def find_test_file(root: Path, file: GlueTestFile) -> Path:
    """The first candidate that exists below a GLUE folder.

    Raises:
        DataError: none exists, or the file is a link out of its folder.
    """
    for name in file.folder:
        path = root / name
        if path.is_file():
            return check_inside(path, path.parent)
    folder = (root / file.folder[0]).parent
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    content = f"{folder} holds {listing(names)}" if folder.is_dir() else f"there is no folder {folder}"
    raise DataError(f"{root / file.folder[0]} is missing; {content}")


def read_test_file(path: Path, file: GlueTestFile) -> list[tuple[str, ...]]:
    """The texts of a test file, one or two per row, in its order.

    Raises:
        DataError: a column is missing, a row is broken or empty, the rows are not in the order of their numbers, or
            their number is not the official one.
    """
    origin = f"{path.parent.name}/{path.name}"
    lines = read_lines(path, origin)
    if not len(lines):
        raise DataError(f"{origin} is empty; expected a header line and {file.rows} rows")
    columns = lines[0].as_py().split("\t")
    for name in file.text:
        if columns.count(name) != 1:
            found = ", ".join(map(repr, columns[:16]))
            ending = did_you_mean(name, columns) or "."
            raise DataError(f"the header of {origin} must have one column {name!r}{ending} Columns found: {found}")
    cells = _cells(lines[1:], len(columns), origin)
    if INDEX in columns:
        _check_order(pc.list_element(cells, columns.index(INDEX)), origin)
    check_num_rows(len(cells), file.rows, origin)
    texts = [pc.utf8_trim_whitespace(pc.list_element(cells, columns.index(name))) for name in file.text]
    return list(zip(*(column.to_pylist() for column in texts), strict=True))


def read_hub_test_rows(repo: str, revision: str | None, file: GlueTestFile) -> list[tuple[str, ...]]:
    """The texts of a test split on the hub, in its order.

    Raises:
        DataError: the data set is unreachable, lacks the split or a column, or has another number of rows.
    """
    from kdrun.data import hub_datasets

    subset, split = file.hub
    origin = f"{repo}:{subset}/{split}"
    tables = hub_datasets.load_hub_dataset(repo, subset, revision, "data.dir=PATH (a folder in the GLUE layout)")
    if split not in tables:
        raise DataError(f"{repo} {subset} has no split {split}; it has {', '.join(map(str, tables))}")
    rows = tables[split]
    missing = [name for name in file.hub_text if name not in rows.column_names]
    if missing:
        raise DataError(f"{origin} lacks the column {missing[0]!r}; found: {', '.join(rows.column_names)}")
    check_num_rows(rows.num_rows, file.rows, origin)
    table: pa.Table = rows.with_format("arrow")[:]  # pyright: ignore[reportAssignmentType]
    if INDEX_OF_HUB in table.column_names:
        _check_order(pc.cast(table.column(INDEX_OF_HUB), pa.string()).combine_chunks(), origin)
    return list(zip(*(table.column(name).to_pylist() for name in file.hub_text), strict=True))


INDEX_OF_HUB = "idx"


def check_num_rows(num_rows: int, official: int, origin: str) -> None:
    """Check that a test set has its official number of rows, without which the server refuses a submission.

    Raises:
        DataError: it has another number.
    """
    if num_rows != official:
        raise DataError(
            f"{origin} has {num_rows} rows and GLUE's test set {official}: it is another test set, whose predictions "
            "the server would refuse; get GLUE's own file, or leave the run of this task out"
        )


def _cells(lines: pa.Array, width: int, origin: str) -> pa.Array:
    cells = pc.split_pattern(lines, "\t")
    widths = pc.list_value_length(cells).to_numpy(zero_copy_only=False)
    wrong, problems = widths != width, RowProblems(origin)
    counts: Sequence[int] = widths[wrong][: problems.max_shown].tolist()
    where = np.arange(2, 2 + len(lines))
    problems.add(wrong, where, (f"{count} columns, expected {width} (separated by tabs)" for count in counts))
    problems.raise_if_any(remedy="No test row may be left out: fix the file.")
    return cells


def _check_order(numbers: pa.Array, origin: str) -> None:
    expected = pa.array([str(number) for number in range(len(numbers))], numbers.type)
    wrong = np.flatnonzero(pc.not_equal(numbers, expected).to_numpy(zero_copy_only=False))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{origin}: row {row} has the number {numbers[row].as_py()!r}; a submission numbers the rows from 0 in the "
            "file's order, so the file must be in GLUE's order"
        )
