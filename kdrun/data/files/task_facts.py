"""Complete a task by its rows: classes or range, metrics, prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data import text_overlap
from kdrun.data.files.columns import Columns
from kdrun.data.files.labels import find_kind, infer_classes, score_values
from kdrun.data.files.rows import FileRows
from kdrun.data.row_checks import RowProblems
from kdrun.data.splits import Split, pc
from kdrun.errors import DataError
from kdrun.formatting import plural

RARE_CLASS = 0.2
"""Share of the training rows below which the smallest class makes macro F1 the headline."""
METRICS = {
    TaskKind.classes: ["accuracy", "macro_f1"],
    TaskKind.score: ["pearson", "spearman"],
    TaskKind.multi_label: ["micro_f1", "macro_f1", "exact_match"],
    TaskKind.text: ["rouge_l", "exact_match"],
}
"""Default metrics of each kind of task; the first one is the headline, except for classes of which one is rare."""
MAX_LISTED = 8
"""Classes that a note lists with their numbers of rows."""


def with_answers(task: TaskConfig, train: FileRows, others: Sequence[FileRows]) -> tuple[TaskConfig, tuple[str, ...]]:
    """The task with kind and classes of its training rows, or the range of all its scores, and notes.

    Raises:
        DataError: the labels do not tell the kind, or are not of the task's kind.
    """
    assert train.labels is not None
    origin = train.file.origin
    if task.is_free_text:
        return task, ()
    kind = task.kind or (TaskKind.classes if task.labels else TaskKind.score if task.range else None)
    if kind is TaskKind.classes and train.labels.is_list and task.kind is None:
        kind = TaskKind.multi_label
    kind = find_kind(train.labels, kind, origin)
    if kind is TaskKind.score:
        score_range = task.range or _score_range([train, *others])
        return dataclasses.replace(task, kind=kind, range=score_range), ()
    if task.labels:
        return dataclasses.replace(task, kind=kind), ()
    classes = infer_classes(train.labels, origin)
    return dataclasses.replace(task, kind=kind, labels=classes.names), classes.notes


def _score_range(parts: Sequence[FileRows]) -> list[float]:
    """The lowest and the highest score."""
    ends: list[float] = []
    for part in parts:
        assert part.labels is not None
        values, problems = score_values(part.labels.cells), RowProblems(part.file.origin)
        bad = values.is_null().to_numpy(zero_copy_only=False)
        wrong = pc.filter(part.labels.cells, bad).slice(0, problems.max_shown).to_pylist()
        problems.add(bad, part.numbers, (f"the score is {value!r}; expected a number" for value in wrong))
        problems.raise_if_any(part.file.unit, "For classes instead of scores: task.kind=classes.")
        ends += [pc.min(values).as_py(), pc.max(values).as_py()]
    if min(ends) == max(ends):
        raise DataError(f"{parts[0].file.origin}: all scores are {ends[0]:g}, so there is nothing to learn")
    return [min(ends), max(ends)]


def with_defaults(task: TaskConfig, columns: Columns, splits: dict[str, Split], title: str) -> TaskConfig:
    """The task with its columns, row counts, metrics, and the prompts of text-to-text models."""
    assert task.kind is not None
    train = splits["train"]
    metrics = list(task.metrics) or METRICS[task.kind]
    headline = task.headline or metrics[0]
    if task.kind is TaskKind.classes and not task.headline and not task.metrics:
        counts = np.bincount(train.labels(), minlength=len(task.labels))
        headline = "macro_f1" if counts.min() < RARE_CLASS * train.num_rows else "accuracy"
    if headline not in metrics and not task.metrics:
        metrics = [headline, *metrics]
    name = task.title or title
    prompts = list(task.prompts) or [f"{name} {column}:" for column in columns.text]
    words = list(task.label_words) or (list(task.labels) if task.kind is TaskKind.classes else [])
    return dataclasses.replace(
        task,
        title=name,
        text=columns.text,
        label=columns.label,
        metrics=metrics,
        headline=headline,
        prompts=prompts,
        label_words=words,
        rows={name: split.num_rows for name, split in splits.items()},
        reported=task.reported or ("test" if "test" in splits else None),
    )


def answer_notes(task: TaskConfig, splits: dict[str, Split], columns: Columns, origin: str) -> list[str]:
    """Notes on the columns, the classes and their rows."""
    texts = " and ".join(map(repr, columns.text))
    notes = [f"{origin}: text in {texts}, label in {', '.join(map(repr, columns.label))}"]
    if task.is_free_text:
        counts = [len(text_overlap.words(text)) for text in splits["train"].labels().tolist()]
        return [*notes, f"answers in train have {sum(counts) / len(counts):.3g} words, at most {max(counts)}"]
    if not task.labels:
        low, high = task.range
        return [*notes, f"scores from {low:g} to {high:g}"]
    counts = {name: _class_counts(task, split) for name, split in splits.items()}
    train = counts["train"]
    order = np.argsort(-train, kind="stable")
    listed = ", ".join(f"{task.labels[i]} ({train[i]})" for i in order[:MAX_LISTED])
    more = f" and {len(order) - MAX_LISTED} more, the smallest {task.labels[order[-1]]} ({train[order[-1]]})"
    notes.append(f"{len(order)} classes, with their rows in train: {listed}{more if len(order) > MAX_LISTED else ''}")
    for name, values in counts.items():
        if name == "train" and (values == 1).any():
            notes.append(f"in train once only: {_listed(task, values == 1)}")
        if name != "train" and (values == 0).any():
            notes.append(f"{name} has no row of {_listed(task, values == 0)}")
    return notes


def _class_counts(task: TaskConfig, split: Split) -> np.ndarray:
    labels = split.labels()
    return labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(task.labels))


def _listed(task: TaskConfig, which: np.ndarray) -> str:
    names = [task.labels[i] for i in np.flatnonzero(which)]
    more = f" and {plural(len(names) - MAX_LISTED, 'more class')}" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
