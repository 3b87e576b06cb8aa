"""Values published in the papers."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

METHODS = {
    "kd": ("mate_kd", "kd"),
    "mate_kd": ("mate_kd", "mate_kd"),
    "zskd": ("zskd", "zskd"),
    "meta_kd": ("meta_kd", "meta_kd"),
}
"""Method of kdrun → paper and row with the same method.

MATE-KD's `tinybert_aug_kd` has no match: it replaces words, while kdrun's kd_augment fills masks. Rows of Meta-KD that
differ in their teacher are in `STUDENTS`.
"""
TEACHERS = {
    "single": ("meta_kd", "teacher_single"),
    "mixed": ("meta_kd", "teacher_mixed"),
    "meta": ("meta_kd", "meta_teacher"),
}
"""`teacher.domain_strategy` → paper and row with the same teacher; the paper has no score of the multi_task teacher."""
STUDENTS = {
    ("tinybert_kd", "single"): ("meta_kd", "single_tinybert_kd"),
    ("tinybert_kd", "mixed"): ("meta_kd", "mixed_tinybert_kd"),
    ("tinybert_kd", "multi_task"): ("meta_kd", "multitask_tinybert_kd"),
    ("tinybert_kd", "meta"): ("meta_kd", "meta_teacher_tinybert_kd"),
    ("meta_kd", "meta"): ("meta_kd", "meta_kd"),
}
"""Method of kdrun and `teacher.domain_strategy`, one student per domain → paper and row with the same setting."""
UNPUBLISHED_SETTINGS = {"data.max_train_rows": "null", "data.train_fraction": "1", "method.hold_out_domain": "false"}
"""Settings that no row of Meta-KD's results has, with the value that the rows have."""
TAGS = {
    "check": "recalled, and an independent arithmetic check passes",
    "summary": "from a secondary summary",
    "paper": "seen in the paper",
    "code": "seen in the authors' code",
}


class Published(NamedTuple):
    """One published value.

    Attributes:
        value: in percent, as printed.
        tag: source of the value, a key of `TAGS`.
    """

    value: str
    tag: str

    def __str__(self) -> str:
        return f"{self.value} [{self.tag}]"


def method_value(method: str, task: str, metric: str, split: str) -> Published | None:
    """Return the published value of a method on a task; None if unknown for this metric and split."""
    if method not in METHODS:
        return None
    return row_value(METHODS[method], task, metric, split)


def row_value(row: tuple[str, str], task: str, metric: str, split: str) -> Published | None:
    """Return the published value of a paper's row; None if unknown.

    Args:
        row: paper and row.
        task: name of the task; with the domain for tasks by domain, `amazon_books`.
        metric: short name.
        split: dev or test.
    """
    return _table().get((*row, task, metric, split))


def rows_by_task(paper: str, row: str) -> dict[str, Published]:
    """Return the published values of a paper's row by task; for tasks by domain with the domain, `amazon_books`."""
    return {key[2]: value for key, value in _table().items() if key[:2] == (paper, row)}


@cache
def _table() -> dict[tuple[str, ...], Published]:
    lines = csv.DictReader((files("kdrun.reporting.tables") / "reference_results.csv").read_text("utf-8").splitlines())
    names = ("paper", "row", "task", "metric", "split")
    return {tuple(line[name] for name in names): Published(line["value"], line["tag"]) for line in lines}
