"""Teacher against student on multi-label tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdrun.formatting import percent
from kdrun.reporting.html.agreement import correctness_table, is_correct
from kdrun.reporting.html.blocks import Block, Table

Rows = Sequence[dict[str, Any]]
NOTE = "A class is predicted where its probability is above 0.5. Classes in the order of the task."


def blocks(splits: Mapping[str, Rows], *, has_teacher: bool) -> list[Block]:
    """Show agreement, correctness and the scores of each class of every split."""
    tables: list[Block] = [_agreement(splits, has_teacher)]
    if has_teacher:
        tables += [_shared_errors(rows, split) for split, rows in splits.items()]
    return tables + [_by_class(rows, split, has_teacher) for split, rows in splits.items()]


def agreement(rows: Rows) -> float:
    """Return the share of rows for which teacher and student predict the same classes."""
    return float(np.mean([row["prediction"] == row["teacher_prediction"] for row in rows]))


def gap(rows: Rows) -> np.ndarray | None:
    """Largest difference of a class's probability between teacher and student, [rows]; None without probabilities."""
    if not all("probabilities" in row and "teacher_probabilities" in row for row in rows):
        return None
    return np.array(
        [
            max((abs(share - row["teacher_probabilities"][name]) for name, share in row["probabilities"].items()))
            for row in rows
        ]
    )


def _agreement(splits: Mapping[str, Rows], has_teacher: bool) -> Table:
    rows = []
    for split, part in splits.items():
        sizes = [float(np.mean([len(row[key]) for row in part])) for key in ("gold", "prediction")]
        same = percent(agreement(part) if has_teacher else None)
        rows.append([split, str(len(part)), same, *(f"{size:.2f}" for size in sizes)])
    columns = ["split", "rows", "same classes", "gold classes per row", "student's classes per row"]
    return Table("Agreement", columns, rows)


def _shared_errors(rows: Rows, split: str) -> Table:
    student, teacher = (np.array([is_correct(row, whose) for row in rows]) for whose in ("", "teacher_"))
    return correctness_table(f"Rows of {split} with exactly the gold classes", "rows", student, teacher)


def _by_class(rows: Rows, split: str, has_teacher: bool) -> Table:
    observed = sorted({name for row in rows for key in ("gold", "prediction") for name in row[key]})
    names = list(dict.fromkeys([*rows[0].get("probabilities", ()), *observed]))
    models = [("teacher", "teacher_prediction")] if has_teacher else []
    models.append(("student", "prediction"))
    columns = ["class", "gold", *(f"{who}'s {part}" for who, _ in models for part in ("precision", "recall", "F1"))]
    gold, table_rows = _decisions(rows, "gold", names), []
    predicted = [_decisions(rows, key, names) for _, key in models]
    for place, name in enumerate(names):
        counts = [(model[:, place], gold[:, place]) for model in predicted]
        table_rows.append([name, str(int(gold[:, place].sum())), *(cell for pair in counts for cell in _scores(*pair))])
    return Table(f"Classes of {split}", columns, table_rows, [NOTE])


def _decisions(rows: Rows, key: str, names: list[str]) -> np.ndarray:
    """Whether a row has each class, [rows, classes] bool."""
    return np.array([[name in row[key] for name in names] for row in rows], dtype=bool).reshape(len(rows), len(names))


def _scores(predicted: np.ndarray, gold: np.ndarray) -> list[str]:
    correct = int((predicted & gold).sum())
    totals = (int(predicted.sum()), int(gold.sum()))
    halves = (totals[0] + totals[1]) / 2
    return [percent(correct / total if total else None) for total in (*totals, halves)]
