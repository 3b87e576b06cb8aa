"""Read the GLUE folder layout: tab-separated files, one folder per task.

The files follow their own rules, not a CSV dialect's: quotes mean nothing, a tab always separates columns and
only a line feed ends a line. The reader works on Arrow arrays from the file's bytes to the finished columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data.row_checks import RowProblems, check_classes, check_scores, check_texts
from kdrun.data.splits import Split, make_split, pc
from kdrun.errors import DataError, did_you_mean

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class GlueLayout:
    """Where a task is in the folder: the `folder` section of `conf/task/*.yaml`.

    Attributes:
        dir: the task's folder, e.g. `SST-2`.
        text: the column, or the two columns, of the text.
        label: the column of the label.
        files: file name of each split; a `*` stands for anything when exactly one file fits.
        columns: the columns of a file without a header line; empty where the file has one.
        broken_lines: `refuse` a line with a wrong number of columns, or `skip` and count it in the notes.
        domain: the column of the domain, read where the task is taken by domain; rows of no domain of the task are
            left out then, with a note.
        pool: file names in a folder a domain (`books/train.tsv`), whose rows are pooled and split anew; instead of
            `files`.
        title: what results call the task; empty is `dir`.
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
        known = [item.name for item in dataclasses.fields(cls)]
        wanted = ["dir", "text", "label", "pool" if "pool" in task.folder else "files"]
        unknown = [key for key in task.folder if key not in known]
        missing = [key for key in wanted if key not in task.folder]
        if unknown:
            ending = did_you_mean(unknown[0], known)
            raise DataError(f"task.folder.{unknown[0]} is not a key{ending} (known: {', '.join(known)})")
        if missing:
            raise DataError(
                f"task {task.name} cannot be read from a folder: its yaml lacks folder.{missing[0]}; "
                f"a task needs {', '.join(wanted)} there"
            )
        layout = cls(**task.folder)
        if not task.is_by_domain:
            layout = dataclasses.replace(layout, domain="")
        if layout.broken_lines not in ("refuse", "skip"):
            raise DataError(f"task.folder.broken_lines is {layout.broken_lines!r}; expected refuse or skip")
        return layout


def read_task(root: str, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """Splits of a task below a folder in the GLUE layout; no file of another split is opened.

    Args:
        root: the folder that holds `SST-2/train.tsv` and so on.
        task: the task; its `folder` section says where it is.
        wanted: names of the splits.

    Raises:
        DataError: a folder, file or column is missing, or a file has rows that do not fit the task.
    """
    layout = GlueLayout.of(task)
    folder = task_folder(Path(root).expanduser(), layout)
    lacking = [name for name in wanted if name not in layout.files]
    if lacking:
        raise DataError(f"task.rows has a split {lacking[0]!r}, but task.folder.files names no file for it")
    splits = {}
    for name in wanted:
        path, notes = find_file(folder, layout.files[name], name)
        splits[name] = read_file(path, task, layout, name, notes)
    return splits


def task_folder(root: Path, layout: GlueLayout) -> Path:
    """The task's folder below the one that was given.

    Raises:
        DataError: it is not there.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DataError(f"data.dir is {root}, which {what}; expected the folder that holds {layout.dir}/train.tsv")
    folder = root / layout.dir
    if folder.is_dir():
        return folder
    if root.name == layout.dir:
        raise DataError(f"data.dir is {root}, the task's own folder; give the one above it: data.dir={root.parent}")
    here = sorted(path.name for path in root.iterdir() if path.is_dir())
    raise DataError(
        f"{root} has no folder {layout.dir}{did_you_mean(layout.dir, here) or '.'} It holds {_listing(here)}"
    )


def find_file(folder: Path, name: str, split: str) -> tuple[Path, tuple[str, ...]]:
    """The file of a split, by its name or the only one that fits its pattern, and a note where that was needed.

    Raises:
        DataError: there is none, or several fit.
    """
    exact = folder / name.replace("*", "")
    if exact.is_file():
        return exact, ()
    here = sorted(path.name for path in folder.iterdir() if path.is_file())
    fitting = sorted(folder.glob(name)) if "*" in name else []
    if not fitting:
        ending = did_you_mean(exact.name, here) or "."
        raise DataError(f"{exact} is missing{ending} {folder} holds {_listing(here)}")
    if len(fitting) > 1:
        names = _listing([path.name for path in fitting])
        raise DataError(f"{folder} has several files for {split}: {names}; rename the wanted one to {exact.name}")
    return fitting[0], (f"{split} was read from {folder.name}/{fitting[0].name}; there is no {exact.name}",)


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:12]) or "nothing"
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown


def read_file(path: Path, task: TaskConfig, layout: GlueLayout, name: str, notes: tuple[str, ...] = ()) -> Split:
    """One file as a split.

    Raises:
        DataError: the file does not fit the layout or the task; up to five lines are named.
    """
    origin = f"{layout.dir}/{path.name}"
    lines = lines_of(path, origin)
    columns = layout.columns
    first = 1
    if not columns and len(lines):
        columns, lines, first = lines[0].as_py().split("\t"), lines[1:], 2
    places = _find_columns(origin, columns, layout)
    *text_places, label_place = places[: len(layout.text) + 1]
    if not len(lines):
        raise DataError(f"{origin} has no rows; expected {task.rows.get(name, 'some')} for {name}")
    where = np.arange(first, first + len(lines))
    problems = RowProblems(origin)
    cells, where, skipped = _cells(lines, where, len(columns), layout, problems)
    # the rest of the checks would trip over broken lines, and the file has to be mended anyway
    problems.raise_if_any()
    texts = [pc.list_element(cells, place) for place in text_places]
    shown = pc.utf8_trim_whitespace(pc.list_element(cells, label_place))
    notes += skipped + check_texts(problems, texts, where)
    labels = _scores(shown) if task.is_regression else _classes(shown, task)
    check = check_scores if task.is_regression else check_classes
    check(problems, labels, shown, task, where)
    problems.raise_if_any()
    if not layout.domain:
        return make_split(name, texts, labels, origin, notes)
    named = pc.utf8_trim_whitespace(pc.list_element(cells, places[-1]))
    return _with_domains(make_split(name, texts, labels, origin, notes, domains=_domain_ids(named, task)), task, layout)


def _domain_ids(named: pa.Array, task: TaskConfig) -> pa.Array:
    """Indices into the task's domains, −1 for a name that is none of them."""
    return pc.fill_null(pc.index_in(named, value_set=pa.array(task.domains, named.type)), -1)


def _with_domains(split: Split, task: TaskConfig, layout: GlueLayout) -> Split:
    """The rows whose domain is one of the task's, with a note on how many others there were."""
    domains = split.domains()
    assert domains is not None
    known = np.flatnonzero(domains >= 0)
    left_out = split.num_rows - len(known)
    if not left_out:
        return split
    whose = f"whose {layout.domain} is one of {', '.join(task.domains)}"
    if not len(known):
        raise DataError(f"{split.origin} has no row {whose}; the column {layout.domain!r} must name them")
    note = f"{left_out} of {split.num_rows} rows of {split.origin} were left out: only rows {whose} count"
    return dataclasses.replace(split.select(known), notes=(*split.notes, note))


def lines_of(path: Path, origin: str) -> pa.Array:
    """The lines of a file, without their ends and without empty lines after the last row.

    Raises:
        DataError: the file is not UTF-8.
    """
    data = path.read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = data[error.start]
        raise DataError(
            f"{origin} is not UTF-8: byte 0x{found:02x} at offset {error.start}, line {line}; "
            "save it as UTF-8, e.g. with `iconv -f latin1 -t utf8`"
        ) from None
    data = data.removeprefix(BOM).rstrip(b"\r\n")
    if not data:
        return pa.array([], pa.large_string())
    # large: the offsets of a file over 2 GiB do not fit 32 bits
    text = pa.array([data], pa.large_binary()).cast(pa.large_string())
    lines = pc.split_pattern(text, "\n").flatten()
    return pc.replace_substring_regex(lines, "\r$", "") if b"\r" in data else lines


def _find_columns(origin: str, columns: list[str], layout: GlueLayout) -> list[int]:
    """Positions of the text columns, of the label column and, where the layout has one, of the domain's."""
    named = [*layout.text, layout.label, *([layout.domain] if layout.domain else [])]
    for wanted in named:
        if columns.count(wanted) != 1:
            shown = ", ".join(repr(column[:40]) for column in columns[:16]) or "nothing"
            what = "lacks the column" if wanted not in columns else "has more than one column"
            ending = "." if wanted in columns else did_you_mean(wanted, columns) or "."
            raise DataError(
                f"the header of {origin} {what} {wanted!r}{ending} Columns found: {shown}; "
                f"expected {', '.join(map(repr, named))}"
            )
    return [columns.index(wanted) for wanted in named]


def _cells(
    lines: pa.Array, where: np.ndarray, width: int, layout: GlueLayout, problems: RowProblems
) -> tuple[pa.Array, np.ndarray, tuple[str, ...]]:
    """The lines cut at tabs, with their line numbers; lines of another width are refused or skipped."""
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
    found = widths[wrong][: problems.max_shown]
    sentences = (f"{count} columns, expected {width} (separated by tabs; quotes mean nothing)" for count in found)
    problems.add(wrong, where, sentences)
    return cells, where, ()


def _classes(shown: pa.Array, task: TaskConfig) -> pa.Array:
    """Class indices of labels written as names (any case) or as indices; null where they are neither."""
    names = pa.array([label.lower() for label in task.labels], shown.type)
    digits = pa.array([str(index) for index in range(len(task.labels))], shown.type)
    by_name = pc.index_in(pc.utf8_lower(shown), value_set=names)
    return pc.coalesce(by_name, pc.index_in(shown, value_set=digits))


def _scores(shown: pa.Array) -> pa.Array:
    """Scores as float64; null where the text is no finite decimal number."""
    numeric = pc.match_substring_regex(shown, NUMBER)
    return pc.if_else(numeric, shown, pa.scalar(None, shown.type)).cast(pa.float64())
