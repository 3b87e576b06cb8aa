"""Teacher against student on free text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdrun.data import text_overlap
from kdrun.formatting import percent
from kdrun.reporting.html.agreement import correctness_table, is_correct
from kdrun.reporting.html.blocks import Block, Table

Rows = Sequence[dict[str, Any]]
NOTE = (
    "Answers are equal without regard to case and blanks. ROUGE-L is the F1 of the longest common subsequence of words."
)


def blocks(splits: Mapping[str, Rows], *, has_teacher: bool) -> list[Block]:
    """Show agreement, overlap with the gold answers and correctness of every split."""
    tables: list[Block] = [_overlaps(splits, has_teacher)]
    return tables + [_shared_errors(rows, split) for split, rows in splits.items() if has_teacher]


def agreement(rows: Rows) -> float:
    """Return the share of rows with equal answers of teacher and student."""
    return float(np.mean([text_overlap.is_equal(row["prediction"], row["teacher_prediction"]) for row in rows]))


def gap(rows: Rows) -> np.ndarray:
    """Return one minus the ROUGE-L of the student's answer against the teacher's, [rows]."""
    return np.array([1 - text_overlap.rouge_l(row["prediction"], row["teacher_prediction"]) for row in rows])


def _overlaps(splits: Mapping[str, Rows], has_teacher: bool) -> Table:
    rows = []
    for split, part in splits.items():
        same = percent(agreement(part) if has_teacher else None)
        pairs = [(row["prediction"], row["gold"]) for row in part]
        shares = [[measure(*pair) for pair in pairs] for measure in (text_overlap.is_equal, text_overlap.rouge_l)]
        unfinished = sum(bool(row["cut"]) for row in part)
        rows.append(
            [split, str(len(part)), same, *(percent(float(np.mean(values))) for values in shares), str(unfinished)]
        )
    columns = ["split", "rows", "same answer", "student's exact answers", "student's ROUGE-L", "unfinished answers"]
    return Table("Agreement and the student's answers", columns, rows, [NOTE])


def _shared_errors(rows: Rows, split: str) -> Table:
    student, teacher = (np.array([is_correct(row, whose) for row in rows]) for whose in ("", "teacher_"))
    return correctness_table(f"Rows of {split} with exactly the gold answer", "rows", student, teacher)
