"""Read the GLUE folder layout: tab-separated files, one folder per task.

The files follow no CSV dialect: quotes have no meaning, a tab always separates columns, and only a line feed ends a
line. The reader works on Arrow arrays from the file's bytes to the finished columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data.row_checks import RowProblems, check_classes, check_scores, check_texts, class_indices, scores
from kdrun.data.sources.split_files import find_files, listing
from kdrun.data.splits import Split, make_split, pc
from kdrun.data.text_files import HEAD, check_head, check_text
from kdrun.errors import DataError, did_you_mean

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class GlueLayout:
    """A task's files: the `folder` section of `conf/task/*.yaml`.

    Attributes:
        dir: the task's folder, e.g. `SST-2`.
        text: the column, or the two columns, of the text.
        label: the column of the label.
        files: file name of each split; a `*` matches anything if exactly one file matches.
        columns: the columns of files without a header line; empty if files have one.
        broken_lines: `refuse` a line with a wrong number of columns, or `skip` and count it in the notes.
        domain: the column of the domain, read in a task by domain; rows of other domains are then left out, with a
            note.
        pool: file names in the folder of each domain (`books/train.tsv`), whose rows are pooled and split again;
            replaces `files`.
        title: the task's name in results; empty is `dir`.
    """

    dir: str
    text: list[str]
    label: str
    files: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    broken_lines: str = "refuse"
    domain: str = ""
    pool: list[str] = field(default_factory=list)
    title: str = ""

    @classmethod
    def of(cls, task: TaskConfig) -> GlueLayout:
        """The layout of a task.

        Raises:
            DataError: the task's `folder` section has unknown keys or lacks some.
        """
        names = [item.name for item in dataclasses.fields(cls)]
        required = ["dir", "text", "label", "pool" if "pool" in task.folder else "files"]
        unknown = [key for key in task.folder if key not in names]
        missing = [key for key in required if key not in task.folder]
        if unknown:
            ending = did_you_mean(unknown[0], names)
            raise DataError(f"task.folder.{unknown[0]} is not a key{ending} (known: {', '.join(names)})")
        if missing:
            raise DataError(
                f"task {task.name} cannot be read from a folder: its yaml lacks folder.{missing[0]}; "
                f"a task needs {', '.join(required)} there"
            )
        layout = cls(**task.folder)
        if not task.is_by_domain:
            layout = dataclasses.replace(layout, domain="")
        if layout.broken_lines not in ("refuse", "skip"):
            raise DataError(f"task.folder.broken_lines is {layout.broken_lines!r}; expected refuse or skip")
        return layout


def read_task(root: str, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """Splits of a task below a folder in the GLUE layout; no file of another split is opened.

    Args:
        root: the folder that holds `SST-2/train.tsv` and so on.
        task: the task; its `folder` section gives the layout.
        names: names of the splits.

    Raises:
        DataError: a folder, file or column is missing, or a file has rows that do not fit the task.
    """
    layout = GlueLayout.of(task)
    files = find_files(task_folder(Path(root).expanduser(), layout), layout.files, names)
    return {name: read_file(path, task, layout, name, notes) for name, path, notes in files}


def check_files(root: str, task: TaskConfig, names: Sequence[str]) -> None:
    """Check that the files of these splits exist and have the columns of the layout; reads header lines only.

    Raises:
        DataError: as `read_task` for a folder, file or column.
    """
    layout = GlueLayout.of(task)
    for _, path, _ in find_files(task_folder(Path(root).expanduser(), layout), layout.files, names):
        check_header(path, layout)


def check_header(path: Path, layout: GlueLayout) -> None:
    """Check the header line of a file; a line that is not UTF-8 is reported where the whole file is read.

    Raises:
        DataError: a column is missing.
    """
    with path.open("rb") as file:
        check_head(file.read(HEAD), f"{layout.dir}/{path.name}")
        file.seek(0)
        first = file.readline().removeprefix(BOM).rstrip(b"\r\n")
    try:
        columns = first.decode("utf-8").split("\t") if first else []
    except UnicodeDecodeError:
        return
    _find_columns(f"{layout.dir}/{path.name}", layout.columns or columns, layout)


def task_folder(root: Path, layout: GlueLayout) -> Path:
    """The task's folder below the given one.

    Raises:
        DataError: the folder does not exist.
    """
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise DataError(f"data.dir is {root}, which {state}; expected the folder that holds {layout.dir}/train.tsv")
    folder = root / layout.dir
    if folder.is_dir():
        return folder
    if root.name == layout.dir:
        raise DataError(f"data.dir is {root}, the task's own folder; set its parent: data.dir={root.parent}")
    folders = sorted(path.name for path in root.iterdir() if path.is_dir())
    raise DataError(
        f"{root} has no folder {layout.dir}{did_you_mean(layout.dir, folders) or '.'} It holds {listing(folders)}"
    )


def read_file(path: Path, task: TaskConfig, layout: GlueLayout, name: str, notes: tuple[str, ...] = ()) -> Split:
    """One file as a split.

    Raises:
        DataError: the file does not fit the layout or the task; up to five lines are named.
    """
    origin = f"{layout.dir}/{path.name}"
    lines = read_lines(path, origin)
    columns = layout.columns
    first = 1
    if not columns and len(lines):
        columns, lines, first = lines[0].as_py().split("\t"), lines[1:], 2
    indices = _find_columns(origin, columns, layout)
    *text_indices, label_index = indices[: len(layout.text) + 1]
    if not len(lines):
        raise DataError(f"{origin} has no rows; expected {task.rows.get(name, 'some')} for {name}")
    where = np.arange(first, first + len(lines))
    problems = RowProblems(origin)
    cells, where, skipped = _split_columns(lines, where, len(columns), layout, problems)
    # the other checks would trip over broken lines, and the file must be fixed anyway
    problems.raise_if_any()
    texts = [pc.list_element(cells, index) for index in text_indices]
    label_texts = pc.utf8_trim_whitespace(pc.list_element(cells, label_index))
    notes += skipped + check_texts(problems, texts, where)
    labels = scores(label_texts) if task.is_regression else class_indices(label_texts, task)
    check = check_scores if task.is_regression else check_classes
    check(problems, labels, label_texts, task, where)
    problems.raise_if_any()
    if not layout.domain:
        return make_split(name, texts, labels, origin, notes)
    domain_ids = _domain_ids(pc.utf8_trim_whitespace(pc.list_element(cells, indices[-1])), task)
    return _with_domains(make_split(name, texts, labels, origin, notes, domains=domain_ids), task, layout)


def _domain_ids(names: pa.Array, task: TaskConfig) -> pa.Array:
    """Indices into the task's domains, −1 for the name of another domain."""
    return pc.fill_null(pc.index_in(names, value_set=pa.array(task.domains, names.type)), -1)


def _with_domains(split: Split, task: TaskConfig, layout: GlueLayout) -> Split:
    """The rows of the task's domains, with a note on the number of other rows."""
    domains = split.domains()
    assert domains is not None
    rows = np.flatnonzero(domains >= 0)
    left_out = split.num_rows - len(rows)
    if not left_out:
        return split
    condition = f"whose {layout.domain} is one of {', '.join(task.domains)}"
    if not len(rows):
        raise DataError(f"{split.origin} has no row {condition}; the column {layout.domain!r} must name them")
    note = f"{left_out} of {split.num_rows} rows of {split.origin} were left out: only rows {condition} count"
    return dataclasses.replace(split.select(rows), notes=(*split.notes, note))


def read_lines(path: Path, origin: str) -> pa.Array:
    """The lines of a file, without line ends and without empty lines after the last row.

    Raises:
        DataError: the file is not UTF-8, or no line feed ends its lines.
    """
    data = path.read_bytes()
    check_text(data, origin)
    data = data.removeprefix(BOM).rstrip(b"\r\n")
    if not data:
        return pa.array([], pa.large_string())
    # large: the offsets of a file over 2 GiB do not fit 32 bits
    text = pa.array([data], pa.large_binary()).cast(pa.large_string())
    lines = pc.split_pattern(text, "\n").flatten()
    return pc.replace_substring_regex(lines, "\r$", "") if b"\r" in data else lines


def _find_columns(origin: str, columns: list[str], layout: GlueLayout) -> list[int]:
    """Positions of the text columns, the label column and, if the layout has one, the domain column."""
    required = [*layout.text, layout.label, *([layout.domain] if layout.domain else [])]
    for name in required:
        if columns.count(name) != 1:
            listing = ", ".join(repr(column[:40]) for column in columns[:16]) or "nothing"
            problem = "lacks the column" if name not in columns else "has more than one column"
            ending = "." if name in columns else did_you_mean(name, columns) or "."
            raise DataError(
                f"the header of {origin} {problem} {name!r}{ending} Columns found: {listing}; "
                f"expected {', '.join(map(repr, required))}"
            )
    return [columns.index(name) for name in required]


def _split_columns(
    lines: pa.Array, where: np.ndarray, width: int, layout: GlueLayout, problems: RowProblems
) -> tuple[pa.Array, np.ndarray, tuple[str, ...]]:
    """The lines split at tabs, with their line numbers; lines of another width are refused or skipped."""
    cells = pc.split_pattern(lines, "\t")
    widths = pc.list_value_length(cells).to_numpy(zero_copy_only=False)
    wrong = widths != width
    if not wrong.any():
        return cells, where, ()
    if layout.broken_lines == "skip":
        count, first = int(wrong.sum()), int(where[wrong][0])
        note = f"{problems.origin}: {count} lines without {width} columns were skipped, first line {first}"
        keep = np.flatnonzero(~wrong)
        if not len(keep):
            raise DataError(f"{problems.origin} has no line with {width} columns")
        return cells.take(pa.array(keep)), where[keep], (note,)
    counts = widths[wrong][: problems.max_shown]
    sentences = (f"{n} columns, expected {width} (separated by tabs; quotes have no meaning)" for n in counts)
    problems.add(wrong, where, sentences)
    return cells, where, ()
