"""Read a task by domain from one folder or one per domain.

The protocol is Meta-KD's (arXiv 2012.01266). Its split has an unknown seed; ours is fixed
(`kdrun.data.stratified.SPLIT_SEED`), so that the rows of a split are the same for every run:

- A split with a file in the layout is that file. Otherwise `test` is a tenth of the training rows and `dev` a tenth of
  the rest, by domain and class.
- If the layout pools files, all their rows are the initial training rows. Repeated texts of a domain are dropped before
  any split is drawn, so that no two splits share a text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data.sources.glue_folder import GlueLayout, check_header, read_file, task_folder
from kdrun.data.sources.split_files import find_file
from kdrun.data.splits import Split, content_hash, distinct_texts, make_split
from kdrun.data.stratified import stratified_split
from kdrun.errors import DataError

DRAWN_SPLITS = ("test", "dev")
"""Splits that are drawn if they have no file, in this order."""


def read_task(root: str, task: TaskConfig, names: Sequence[str]) -> dict[str, Split]:
    """Splits of a task by domain.

    Args:
        root: the folder that holds the task's folder; also the task's folder itself if each domain has a folder.
        task: gives `domains`, the splits and the `folder` section.
        names: names of the splits. A split that is drawn from train requires reading train.

    Raises:
        DataError: a folder, file or column is missing, a file has rows that do not fit the task, or a text has two
            labels in one domain.
    """
    layout, parent = GlueLayout.of(task), Path(root).expanduser()
    if layout.pool:
        splits = {"train": _pool_files(_domains_folder(parent, layout, task), task, layout)}
    else:
        folder = task_folder(parent, layout)
        needed = {*names, "train"} if set(names) - set(layout.files) else set(names)
        files = {name: find_file(folder, file, name) for name, file in layout.files.items() if name in needed}
        splits = {name: read_file(path, task, layout, name, notes) for name, (path, notes) in files.items()}
    drawn = [name for name in DRAWN_SPLITS if name in task.rows and name not in layout.files]
    for name in drawn if "train" in splits else ():
        splits["train"], splits[name] = stratified_split(splits["train"], name)
    if drawn and "train" in splits:
        notes, first = splits["train"].notes, next(name for name in ("train", *drawn) if name in names)
        splits[first] = dataclasses.replace(splits[first], notes=(*notes, _drawn_note(drawn)))
    return {name: splits[name] for name in names if name in splits}


def check_files(root: str, task: TaskConfig, names: Sequence[str]) -> None:
    """Check that the files of these splits exist and have the columns of the layout; reads header lines only.

    Raises:
        DataError: as `read_task` for a folder, file or column.
    """
    layout, parent = GlueLayout.of(task), Path(root).expanduser()
    if not layout.pool:
        folder = task_folder(parent, layout)
        for name in {*names, "train"} if set(names) - set(layout.files) else set(names):
            check_header(find_file(folder, layout.files[name], name)[0], layout)
        return
    folder = _domains_folder(parent, layout, task)
    for domain in task.domains:
        _check_domain(folder, domain, task, layout)
        for name in layout.pool:
            check_header(find_file(folder / domain, name, "train")[0], layout)


def _check_domain(folder: Path, domain: str, task: TaskConfig, layout: GlueLayout) -> None:
    if not (folder / domain).is_dir():
        names = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "none"
        raise DataError(f"{folder} lacks the folder {domain}; its folders: {names}; {_expected(task, layout)}")


def _drawn_note(drawn: Sequence[str]) -> str:
    tenths = " and then ".join(f"a tenth as {name}" for name in drawn)
    return f"split by kdrun, by domain and class with a separate seed: {tenths}; no published split is known"


def _domains_folder(root: Path, layout: GlueLayout, task: TaskConfig) -> Path:
    """The folder that holds one folder per domain: the given one, or the task's folder in it."""
    if root.is_dir() and any((root / domain).is_dir() for domain in task.domains):
        return root
    return task_folder(root, layout)


def _pool_files(folder: Path, task: TaskConfig, layout: GlueLayout) -> Split:
    """The rows of all domains' files as one split, each text once per domain."""
    domains, dropped = [], []
    for index, domain in enumerate(task.domains):
        _check_domain(folder, domain, task, layout)
        domain_layout = dataclasses.replace(layout, dir=f"{layout.dir}/{domain}")
        files = [find_file(folder / domain, name, "train")[0] for name in layout.pool]
        splits = [read_file(path, task, domain_layout, "train") for path in files]
        tables = [split.table for split in splits]
        pooled = make_split(
            "train",
            [pa.concat_tables(tables).column(name) for name in tables[0].column_names if name.startswith("text")],
            pa.concat_tables(tables).column("label"),
            f"{domain_layout.dir}/{{{','.join(layout.pool)}}}",
            domains=pa.array(np.full(sum(map(len, tables)), index, np.int32)),
        )
        distinct = _drop_repeats(pooled, task)
        domains.append(distinct)
        dropped.append(f"{domain} {pooled.num_rows - distinct.num_rows}")
    table = pa.concat_tables(split.table for split in domains)
    total = sum(split.num_rows for split in domains)
    note = f"repeated texts of a domain count once ({', '.join(dropped)} left out); {total} rows remain"
    return Split("train", table, layout.dir, content_hash(table), (note,))


def _expected(task: TaskConfig, layout: GlueLayout) -> str:
    files = " and ".join(f"{task.domains[0]}/{name}" for name in layout.pool)
    return f"expected {files}, and so for {', '.join(task.domains[1:])}"


def _drop_repeats(split: Split, task: TaskConfig) -> Split:
    """The first row of each text.

    Raises:
        DataError: a text has two labels, so its label is ambiguous.
    """
    codes, first = distinct_texts(split)
    labels = split.labels()
    conflicts = np.flatnonzero(labels != labels[first][codes])
    if len(conflicts):
        text = str(split.row(int(conflicts[0]))["text"])
        names = [task.labels[int(labels[i])] for i in (first[codes[conflicts[0]]], conflicts[0])]
        raise DataError(
            f"{split.origin} has {len(conflicts)} texts with two labels, the first with {names[0]} and {names[1]}: "
            f"{text[:60]!r}… Rows are not dropped: fix them."
        )
    return split.select(np.sort(first))
