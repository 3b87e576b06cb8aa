"""Read GLUE and other tasks from the hub with `datasets`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kdrun.config.data import HubDataConfig
from kdrun.config.task import TaskConfig
from kdrun.data import hub_datasets
from kdrun.data.row_checks import RowProblems, check_classes, check_scores, check_texts
from kdrun.data.splits import Split, make_split, pc
from kdrun.data.stratified import stratified_split
from kdrun.errors import DataError, did_you_mean
from kdrun.registry import register

if TYPE_CHECKING:
    from datasets import Dataset

HUB_SPLITS = {
    "train": ("train",),
    "dev": ("validation", "validation_matched"),
    "dev_mismatched": ("validation_mismatched",),
}
"""Names of each split on the hub; the first existing one is read."""

GLUE_REPO, LABEL = "nyu-mll/glue", "label"
ALTERNATIVE = "data=folder data.dir=PATH (a folder in the GLUE layout) or data=embedded (synthetic rows)"

NO_ALTERNATIVE = "data.repo=FOLDER (a folder with the same subset, splits and columns)"


def read_task(config: HubDataConfig, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """Splits of a task from a data set on the hub, or from a local folder of the same form.

    Raises:
        DataError: the data set is unreachable, or lacks splits, columns or labels of the task.
    """
    own = task.hub
    repo, subset = config.repo or own.get("repo", GLUE_REPO), own.get("subset", None if own else task.name)
    if task.is_multi_label:
        raise DataError(
            f"data=hub reads one class per row, and task={task.name} has any number of them (task.kind=multi_label); "
            f"take task=own data=files data.repo={repo}"
        )
    # a revision in the task is of the data set that the task names
    revision = config.revision or (own.get("revision") if config.repo is None else None)
    tables = hub_datasets.load_hub_dataset(repo, subset, revision, NO_ALTERNATIVE if own else ALTERNATIVE)
    title, layout = f"{repo}{f' {subset}' if subset else ''}", own.get("splits", {})
    drawn = [name for name in task.dev_splits if layout and name not in layout]
    splits = {}
    for name in ["train", *names] if set(drawn) & set(names) else names:
        if name in drawn or name in splits:
            continue
        candidates = (layout[name],) if name in layout else HUB_SPLITS.get(name, (name,))
        hub_name = next((candidate for candidate in candidates if candidate in tables), None)
        if hub_name is None:
            available = ", ".join(map(str, tables))
            raise DataError(f"{title} has no split {' or '.join(candidates)}; it has {available}")
        splits[name] = _read_split(tables[hub_name], task, name, f"{repo}:{subset or 'default'}/{hub_name}")
    for name in drawn if "train" in splits else []:  # always, so that training never sees their rows
        splits["train"], splits[name] = stratified_split(splits["train"], name)
    return {name: splits[name] for name in names}


def _read_split(rows: Dataset, task: TaskConfig, name: str, origin: str) -> Split:
    label = task.hub.get("label", LABEL)
    names = [*task.text, label]
    for column in names:
        if column not in rows.column_names:
            ending = did_you_mean(column, rows.column_names) or "."
            raise DataError(f"{origin} lacks the column {column!r}{ending} Found: {', '.join(rows.column_names)}")
    if not rows.num_rows:
        raise DataError(f"{origin} has no rows")
    _check_label_type(rows.features[label], task, origin)
    table: pa.Table = rows.select_columns(names).with_format("arrow")[:]
    columns: list[pa.Array] = [table.column(column).combine_chunks() for column in names]
    *texts, labels = columns
    cells = labels
    if not task.is_regression and pa.types.is_floating(labels.type):  # a column of 0.0 and 1.0
        labels = _whole_numbers(labels)
    elif pa.types.is_boolean(labels.type):
        labels = labels.cast(pa.int8())
    where = np.arange(rows.num_rows)
    problems = RowProblems(origin)
    for column, text in zip(task.text, texts, strict=True):
        null = text.is_null().to_numpy(zero_copy_only=False)
        problems.add(null, where, iter([f"{column} is null"] * problems.max_shown))
    problems.raise_if_any("row")
    notes = check_texts(problems, texts, where)
    check = check_scores if task.is_regression else check_classes
    check(problems, labels, cells, task, where)
    problems.raise_if_any("row")
    return make_split(name, texts, labels, origin, notes)


def _whole_numbers(labels: pa.Array) -> pa.Array:
    """Class indices from floats; null, which is no class, for other numbers."""
    is_whole = pc.and_(pc.equal(labels, pc.round(labels)), pc.less(pc.abs(labels), 2**31))
    return pc.if_else(is_whole, labels, pa.scalar(None, labels.type)).cast(pa.int64())


def _check_label_type(feature: Any, task: TaskConfig, origin: str) -> None:
    """Scores must be numbers and classes integers; class names must be the task's, in the same order.

    An index is meaningless without names. If the data set has no names, its indices are trusted.
    """
    import datasets

    if not str(feature.dtype).startswith(("int", "uint", "float")) and not (feature.dtype == "bool" and task.labels):
        expected = "numbers" if task.is_regression else "class indices (integers)"
        raise DataError(f"{origin} has labels of type {feature.dtype}; the task {task.name} needs {expected}")
    if task.is_regression or not isinstance(feature, datasets.ClassLabel):
        return
    if [str(label).lower() for label in feature.names] != [label.lower() for label in task.labels]:
        raise DataError(
            f"{origin} has the classes {', '.join(feature.names)}; "
            f"the task {task.name} has {', '.join(task.labels)}, and indices depend on the order"
        )


@register("data", "hub", config=HubDataConfig)
def hub_source(config: HubDataConfig, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """The rows of the task's data set on the hub, or of `data.repo`; a dev split that the hub lacks is held out."""
    return read_task(config, task, names)
