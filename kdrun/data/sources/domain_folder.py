"""Read a task by domain from one folder or one per domain.

Protocol of Meta-KD (arXiv 2012.01266), whose split is seeded with an unknown seed; ours is fixed
(`kdrun.data.stratified.SPLIT_SEED`), so that the rows of a split are the same for every run:

- A split that the layout has a file for is that file. Of the others, `test` is a tenth of the training rows and `dev`
  a tenth of the rest, by domain and class.
- Where the layout pools files, their rows together are the training rows to begin with. A text that stands in a domain
  more than once counts once, before anything is drawn, so that no split shares a text with another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from kdrun.config.task import TaskConfig
from kdrun.data.sources.glue_folder import GlueLayout, find_file, read_file, task_folder
from kdrun.data.splits import Split, content_hash, make_split, pc, text_keys
from kdrun.data.stratified import stratified_split
from kdrun.errors import DataError

DRAWN = ("test", "dev")
"""Splits that are drawn where there is no file of theirs, in this order."""


def read_task(root: str, task: TaskConfig, wanted: Sequence[str]) -> dict[str, Split]:
    """Splits of a task by domain.

    Args:
        root: the folder above the task's; where each domain has a folder, the task's own too.
        task: its `domains`, its splits and its `folder` section.
        wanted: names of the splits. A split that is drawn from train takes reading train.

    Raises:
        DataError: a folder, file or column is missing, a file has rows that do not fit the task, or a text stands in
            a domain with two labels.
    """
    layout, above = GlueLayout.of(task), Path(root).expanduser()
    if layout.pool:
        read = {"train": _pooled(_domains_folder(above, layout, task), task, layout)}
    else:
        folder = task_folder(above, layout)
        needed = {*wanted, "train"} if set(wanted) - set(layout.files) else set(wanted)
        files = {name: find_file(folder, file, name) for name, file in layout.files.items() if name in needed}
        read = {name: read_file(path, task, layout, name, notes) for name, (path, notes) in files.items()}
    drawn = [name for name in DRAWN if name in task.rows and name not in layout.files]
    for name in drawn if "train" in read else ():
        read["train"], read[name] = stratified_split(read["train"], name)
    if drawn and "train" in read:
        told, where = read["train"].notes, next(name for name in ("train", *drawn) if name in wanted)
        read[where] = dataclasses.replace(read[where], notes=(*told, _drawn_note(drawn)))
    return {name: read[name] for name in wanted if name in read}


def _drawn_note(drawn: Sequence[str]) -> str:
    tenths = " and then ".join(f"a tenth as {name}" for name in drawn)
    return f"split by kdrun, by domain and class with a seed of its own: {tenths}; no published split is known"


def _domains_folder(root: Path, layout: GlueLayout, task: TaskConfig) -> Path:
    """The folder that holds a folder a domain: the one that was given, or the task's in it."""
    if root.is_dir() and any((root / domain).is_dir() for domain in task.domains):
        return root
    return task_folder(root, layout)


def _pooled(folder: Path, task: TaskConfig, layout: GlueLayout) -> Split:
    """The rows of every domain's files as one split, each text once a domain."""
    whole, told = [], []
    for index, domain in enumerate(task.domains):
        if not (folder / domain).is_dir():
            here = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "none"
            raise DataError(f"{folder} lacks the folder {domain}; its folders: {here}; {_expected(task, layout)}")
        own = dataclasses.replace(layout, dir=f"{layout.dir}/{domain}")
        files = [find_file(folder / domain, name, "train")[0] for name in layout.pool]
        splits = [read_file(path, task, own, "train") for path in files]
        tables = [split.table for split in splits]
        read = make_split(
            "train",
            [pa.concat_tables(tables).column(name) for name in tables[0].column_names if name.startswith("text")],
            pa.concat_tables(tables).column("label"),
            f"{own.dir}/{{{','.join(layout.pool)}}}",
            domains=pa.array(np.full(sum(map(len, tables)), index, np.int32)),
        )
        kept = _distinct(read, task)
        whole.append(kept)
        told.append(f"{domain} {read.num_rows - kept.num_rows}")
    table = pa.concat_tables(split.table for split in whole)
    total = sum(split.num_rows for split in whole)
    note = f"repeated texts of a domain count once ({', '.join(told)} left out); {total} rows remain"
    return Split("train", table, layout.dir, content_hash(table), (note,))


def _expected(task: TaskConfig, layout: GlueLayout) -> str:
    files = " and ".join(f"{task.domains[0]}/{name}" for name in layout.pool)
    return f"expected {files}, and so for {', '.join(task.domains[1:])}"


def _distinct(split: Split, task: TaskConfig) -> Split:
    """The first row of each text.

    Raises:
        DataError: a text has two labels: which one holds, nobody can tell.
    """
    codes = pc.dictionary_encode(text_keys(split).combine_chunks()).indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    labels = split.labels()
    torn = np.flatnonzero(labels != labels[first][codes])
    if len(torn):
        text = str(split.row(int(torn[0]))["text"])
        named = [task.labels[int(labels[i])] for i in (first[codes[torn[0]]], torn[0])]
        raise DataError(
            f"{split.origin} has {len(torn)} texts that stand there with two labels, the first as {named[0]} and "
            f"{named[1]}: {text[:60]!r}… Rows are not dropped: mend them."
        )
    return split.select(np.sort(first))
