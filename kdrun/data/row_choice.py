"""Choice of the rows that a run uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kdrun import registry
from kdrun.config.data import REST, DataConfig
from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.config.task import HELD_OUT, TaskConfig
from kdrun.config.teacher import ALL_ROWS
from kdrun.data import held_out, stratified
from kdrun.data.row_checks import check_split
from kdrun.data.splits import TEXT_COLUMNS, UNLABELED, Split, content_hash, subset
from kdrun.errors import DataError
from kdrun.formatting import plural


@dataclass(frozen=True)
class RowChoice:
    """Which of a task's rows a run uses, besides its `data` section.

    Attributes:
        held_out_seed: `evaluation.held_out_seed`; `task.rows` says how many rows are held out.
        teacher_rows: `teacher.train_rows`: a number, `all`, or None for the student's rows.
        agreement_rows: `evaluation.agreement_rows`; None for none.
    """

    held_out_seed: int = 1
    teacher_rows: int | str | None = None
    agreement_rows: int | None = None


SAME_ROWS = RowChoice()
"""The choice of a run without these settings."""


def check_splits(splits: Mapping[str, Split], names: Sequence[str], task: TaskConfig, source: str) -> None:
    """Check that every split has rows, and that they fit the task.

    Raises:
        DataError: a split has not.
    """
    for name in names:
        if name not in splits or not splits[name].num_rows:
            raise DataError(f"the split {name} of {task.name} has no rows (source: {source})")
        check_split(splits[name], task)


@dataclass(frozen=True)
class EvaluationRows:
    """The splits of a task after rows were held out of all training.

    Attributes:
        splits: the splits with the held-out rows, and without them in `train`.
        agreement: rows of `evaluation.agreement_rows`, without labels; None for none.
        notes: on these rows, for readers of a result.
    """

    splits: dict[str, Split]
    agreement: Split | None = None
    notes: tuple[str, ...] = ()


def draw_evaluation_rows(
    splits: dict[str, Split], config: DataConfig, task: TaskConfig, choice: RowChoice
) -> EvaluationRows:
    """Hold rows out of all training: first those of `evaluation.held_out`, then those of `evaluation.agreement_rows`.

    Raises:
        DataError: the training rows are too few.
    """
    source_task, section, name = task.without_held_out(), config.task_section, task.held_out_split
    if name is None and choice.agreement_rows is None:
        return EvaluationRows(splits)
    train, new, agreement, notes = splits.get("train"), dict[str, Split](), None, list[str]()
    if train is None:  # a data-free run, or one on generated text
        names = ["train", *source_task.dev_splits]
        train = registry.build("data", section.name, section, source_task, names)["train"]
        check_splits({"train": train}, ["train"], task, section.name)
    evaluated = [splits[split] for split in source_task.dev_splits]
    if name is not None:
        rows = held_out.hold_out(train, evaluated, task.rows[name], choice.held_out_seed)
        train, evaluated = rows.train, [*evaluated, rows.split]
        new[name] = rows.split
        if name != HELD_OUT:
            new[name] = held_out.pool(splits[task.task_report_split], rows.split, name)
        notes.append(rows.note)
    if choice.agreement_rows is not None:
        key = f"evaluation.{AGREEMENT_ROWS}"
        rows = held_out.hold_out(train, evaluated, choice.agreement_rows, choice.held_out_seed, key)
        train, agreement = rows.train, held_out.without_labels(rows.split, AGREEMENT_ROWS)
        notes.append(rows.note)
    if "train" in splits:
        new["train"] = train
    return EvaluationRows({**splits, **new}, agreement, tuple(notes))


def limit_train_rows(rows: Split, config: DataConfig, task: TaskConfig, target: str | None) -> tuple[Split, list[str]]:
    """The training rows within the limits of the `data` section, and notes on the reduction."""
    notes, drawn = [], f"drawn with data.subset_seed={config.subset_seed}"
    if config.max_train_rows is not None and config.max_train_rows < rows.num_rows:
        notes.append(f"trained on {config.max_train_rows} of {rows.num_rows} rows, {drawn}")
        if rows.domains() is None:
            rows = subset(rows, config.max_train_rows, config.subset_seed)
        else:
            rows = stratified.stratified_subset(rows, config.max_train_rows, config.subset_seed, "subset")
    if config.train_fraction is None or config.train_fraction == 1:
        return rows, notes
    among = np.ones(rows.num_rows, bool)
    if target is not None:
        among = rows.domains() == task.domains.index(target)
    total = int(among.sum())
    count = max(1, round(config.train_fraction * total))
    which = f"rows of {target}" if target else "rows"
    notes.append(f"trained on {count} of {total} {which} (data.train_fraction={config.train_fraction:g}), {drawn}")
    return stratified.stratified_subset(rows, count, config.subset_seed, "fraction", among), notes


def teacher_rows(train: Split, rows: Split, config: DataConfig, choice: RowChoice) -> Split | None:
    """The rows of `teacher.train_rows`, which contain the student's if they are at least as many; None for the same."""
    if choice.teacher_rows is None:
        return None
    limit = train.num_rows if choice.teacher_rows == ALL_ROWS else int(choice.teacher_rows)
    chosen = subset(train, limit, config.subset_seed)
    return None if chosen.fingerprint == rows.fingerprint else chosen


def remaining_rows(train: Split, rows: Split, config: DataConfig) -> Split:
    """The training rows that the student does not see with their label, without labels."""
    numbers = np.arange(train.num_rows) if train.row_numbers is None else train.row_numbers
    chosen = numbers if rows.row_numbers is None else rows.row_numbers
    unused = np.flatnonzero(~np.isin(numbers, chosen))
    if not len(unused):
        raise DataError(
            f"data.unlabelled={REST}: all {plural(train.num_rows, 'training row')} have labels; leave rows for it with "
            "data.max_train_rows or data.train_fraction"
        )
    texts = [name for name in train.table.column_names if name in TEXT_COLUMNS]
    table = train.select(unused).table.select(texts)
    split = Split(UNLABELED, table, train.origin, content_hash(table), (), train.synthetic)
    limit = config.max_unlabelled_rows
    return split if limit is None else replace(subset(split, limit, config.subset_seed), row_numbers=None)
