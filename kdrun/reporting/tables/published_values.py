"""Values published in the papers."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

SAME = {
    "kd": ("mate_kd", "kd"),
    "mate_kd": ("mate_kd", "mate_kd"),
    "zskd": ("zskd", "zskd"),
    "meta_kd": ("meta_kd", "meta_kd"),
}
"""kdrun's method → the paper and the row of its results that is the same method.

Not matched, because not the same: MATE-KD's `tinybert_aug_kd` (word replacement; kdrun's kd_augment fills masks).
Meta-KD's rows that differ in the teacher they distil from are those of `STUDENTS`.
"""
TEACHERS = {
    "single": ("meta_kd", "teacher_single"),
    "mixed": ("meta_kd", "teacher_mixed"),
    "meta": ("meta_kd", "meta_teacher"),
}
"""`teacher.domain_strategy` → the paper and the row of its results that is the same teacher; multi_task has none."""
STUDENTS = {
    ("tinybert_kd", "single"): ("meta_kd", "single_tinybert_kd"),
    ("tinybert_kd", "mixed"): ("meta_kd", "mixed_tinybert_kd"),
    ("tinybert_kd", "multi_task"): ("meta_kd", "multitask_tinybert_kd"),
    ("tinybert_kd", "meta"): ("meta_kd", "meta_teacher_tinybert_kd"),
    ("meta_kd", "meta"): ("meta_kd", "meta_kd"),
}
"""kdrun's method and `teacher.domain_strategy`, a student for each domain → the paper and the row that is the same."""
OTHER_ROWS = {"data.max_train_rows": "null", "data.train_fraction": "1", "method.hold_out_domain": "false"}
"""Settings under which a row of Meta-KD's results is not the same, with the value that is none of them."""
TAGS = {
    "check": "recalled, and an independent arithmetic check passes",
    "summary": "from a secondary summary",
    "paper": "seen in the paper",
    "code": "seen in the authors' code",
}


class Published(NamedTuple):
    """One published value.

    Attributes:
        value: in percent, as it was printed.
        tag: how it is known, a key of `TAGS`.
    """

    value: str
    tag: str

    def __str__(self) -> str:
        return f"{self.value} [{self.tag}]"


def published(method: str, task: str, metric: str, split: str) -> Published | None:
    """The published value of a method on a task; None where none is known for this metric and split."""
    if method not in SAME:
        return None
    return value(SAME[method], task, metric, split)


def value(row: tuple[str, str], task: str, metric: str, split: str) -> Published | None:
    """The published value in a row of a paper; None where none is known.

    Args:
        row: the paper and its row.
        task: of a task by domain with the domain, `amazon_books`.
        metric: short name.
        split: dev or test.
    """
    return _table().get((*row, task, metric, split))


@cache
def _table() -> dict[tuple[str, ...], Published]:
    lines = csv.DictReader((files("kdrun.reporting.tables") / "reference_results.csv").read_text("utf-8").splitlines())
    names = ("paper", "row", "task", "metric", "split")
    return {tuple(line[name] for name in names): Published(line["value"], line["tag"]) for line in lines}
