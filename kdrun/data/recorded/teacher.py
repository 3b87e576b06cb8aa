"""A recorded teacher: its answers on the rows of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from kdrun.config.recorded_files import content_digest, paths_of
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig
from kdrun.config.teacher import RecordedTeacherConfig
from kdrun.data.dataset import TaskDataset
from kdrun.data.recorded import matching, outputs
from kdrun.data.recorded.matching import Matcher
from kdrun.data.recorded.table import RecordedTable, read_table
from kdrun.errors import DataError
from kdrun.formatting import join_words

CACHED_FILES = 4
"""Files whose rows stay in memory between the check of a command's files and the run."""


@dataclass(frozen=True)
class RecordedTeacher:
    """Answers of one or several recorded teachers on the rows of a run.

    Attributes:
        name: of the files, with the first digits of the fingerprint.
        files: paths of the files.
        fingerprint: hash of the files and of their weights, 64 hex digits.
        logits: on the student's training rows, [rows, outputs] float32.
        dev_logits: split → logits, for the dev splits of which the files cover every row.
        uncovered: dev split → number of its rows without an answer, of the others.
        exact: whether the files have logits, not probabilities.
        notes: remarks for readers of the run, one sentence each.
    """

    name: str
    files: Sequence[str]
    fingerprint: str
    logits: np.ndarray
    dev_logits: Mapping[str, np.ndarray]
    uncovered: Mapping[str, int]
    exact: bool
    notes: Sequence[str]


def check_files(config: RunConfig) -> None:
    """Read and check the files of a recorded teacher; nothing happens with another teacher.

    Raises:
        DataError: a file is missing, malformed, or contradicts itself.
    """
    if isinstance(config.teacher, RecordedTeacherConfig):
        _tables(config)


def match_rows(config: RunConfig, data: TaskDataset) -> RecordedTeacher:
    """Find the recorded answer of every row of a run.

    Args:
        config: with `teacher=recorded`.
        data: the run's rows.

    Raises:
        DataError: a file is malformed, or lacks a row that the student learns from; every file is named.
    """
    section: RecordedTeacherConfig = config.teacher
    tables = _tables(config)
    rows, matchers = data.student_rows, [Matcher(table, config.task) for table in tables]
    found = [matcher.rows_of(rows, is_student=True) for matcher in matchers]
    problems = [
        text
        for table, numbers in zip(tables, found, strict=True)
        if (text := matching.missing_rows(rows, numbers, table.origin))
    ]
    if problems:
        remedy = "the student learns from the teacher on each of them: record the missing rows (kdrun label)"
        raise DataError(f"{'; '.join(problems)}. {remedy[0].upper()}{remedy[1:]}")
    weights = section.weights or [1.0] * len(tables)
    dev: dict[str, np.ndarray] = {}
    uncovered: dict[str, int] = {}
    for name in config.task.dev_splits:
        numbers = [matcher.rows_of(data.splits[name], is_student=False) for matcher in matchers]
        missing = int((np.min(numbers, axis=0) < 0).sum())
        if missing:
            uncovered[name] = missing
        else:
            dev[name] = _average(tables, numbers, weights, config.task)
    fingerprint = content_digest(config)
    assert fingerprint is not None
    names = [Path(table.origin).stem for table in tables]
    notes = [f"{table.origin}: {note}" for table in tables for note in table.notes]
    if any("teacher" in table.header for table in tables):
        notes.append(f"recorded from {join_words([str(t.header.get('teacher', 'an unknown model')) for t in tables])}")
    return RecordedTeacher(
        name=f"{'+'.join(names)} (recorded {fingerprint[:8]})",
        files=[table.origin for table in tables],
        fingerprint=fingerprint,
        logits=_average(tables, found, weights, config.task),
        dev_logits=dev,
        uncovered=uncovered,
        exact=all(table.exact for table in tables),
        notes=notes,
    )


def _average(
    tables: Sequence[RecordedTable], numbers: Sequence[np.ndarray], weights: Sequence[float], task: TaskConfig
) -> np.ndarray:
    parts = [table.logits[rows] for table, rows in zip(tables, numbers, strict=True)]
    return outputs.average(parts, weights, task)


def _tables(config: RunConfig) -> list[RecordedTable]:
    """The rows of each file, checked.

    Raises:
        DataError: a file is missing or malformed, or contradicts itself.
    """
    section: RecordedTeacherConfig = config.teacher
    labels = tuple(sorted((section.labels or {}).items()))
    tables, problems = list[RecordedTable](), list[str]()
    for path in paths_of(config):
        try:
            state = path.stat()
            tables.append(_cached_table(path, (state.st_size, state.st_mtime_ns), _HashableTask(config.task), labels))
        except OSError as error:
            problems.append(f"teacher.path={path}: {error.strerror}; name a file of a teacher's answers")
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return tables


class _HashableTask:
    """A task as a key of the cache: equal for equal classes, range and number of texts."""

    def __init__(self, task: TaskConfig) -> None:
        self.task = task
        kinds = (task.is_multi_label, tuple(task.range), len(task.text), tuple(task.entities))
        self._key = (task.name, tuple(task.labels), *kinds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _HashableTask) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(CACHED_FILES)
def _cached_table(
    path: Path, state: tuple[int, int], task: _HashableTask, labels: tuple[tuple[str, str], ...]
) -> RecordedTable:
    """The rows of a file in this state, read once per process: a check before torch loads, and the run itself."""
    table = read_table(path, task.task, dict(labels))
    Matcher(table, task.task).check()
    return table
