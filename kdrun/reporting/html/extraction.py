"""Teacher against student on entity extraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdrun.data import entities
from kdrun.formatting import percent
from kdrun.reporting.html.agreement import correctness_table, is_correct
from kdrun.reporting.html.blocks import Block, Table

Rows = Sequence[dict[str, Any]]
NOTE = (
    "Entities are compared per sentence as (type, words), without case, accents and blanks; their positions in the "
    "sentence are unknown and not compared."
)


def blocks(splits: Mapping[str, Rows], *, has_teacher: bool) -> list[Block]:
    """Show agreement, correctness and the scores by entity type of every split."""
    tables: list[Block] = [_agreement(splits, has_teacher)]
    if has_teacher:
        tables += [_shared_errors(rows, split) for split, rows in splits.items()]
    return tables + [_by_type(rows, split, has_teacher) for split, rows in splits.items()]


def agreement(rows: Rows) -> float:
    """Return the share of sentences for which teacher and student name the same entities."""
    return float(np.mean([entities.same_entities(row["prediction"], row["teacher_prediction"]) for row in rows]))


def gap(rows: Rows) -> np.ndarray:
    """Count the entities that only one of teacher and student names, [rows]."""
    return np.array([entities.num_different(row["prediction"], row["teacher_prediction"]) for row in rows], dtype=float)


def _agreement(splits: Mapping[str, Rows], has_teacher: bool) -> Table:
    rows = []
    for split, part in splits.items():
        unsupported = sum(entities.count_unsupported(row["text"], row["prediction"]) for row in part)
        unfinished = sum(bool(row.get("cut")) for row in part)
        rows.append(
            [
                split,
                str(len(part)),
                percent(agreement(part) if has_teacher else None),
                str(unsupported),
                str(unfinished),
            ]
        )
    columns = ["split", "sentences", "same entities", "entities not in the sentence", "unfinished answers"]
    return Table("Agreement and the student's answers", columns, rows)


def _shared_errors(rows: Rows, split: str) -> Table:
    student, teacher = (np.array([is_correct(row, whose) for row in rows]) for whose in ("", "teacher_"))
    return correctness_table(f"Sentences of {split} with exactly the gold entities", "sentences", student, teacher)


def _by_type(rows: Rows, split: str, has_teacher: bool) -> Table:
    gold = [row["gold"] for row in rows]
    types = sorted({entity_type for text in gold for entity_type, _ in entities.parse(text)})
    models = [("teacher", "teacher_prediction")] if has_teacher else []
    models.append(("student", "prediction"))
    columns, table_rows = ["type", "gold"], {entity_type: [entity_type] for entity_type in types}
    for name, key in models:
        columns += [f"{name}'s precision", f"{name}'s recall", f"{name}'s F1"]
        for entity_type, counts in entities.matches_by_type(gold, [row[key] for row in rows], types).items():
            scores = entities.scores_from_counts(*counts)
            if len(table_rows[entity_type]) == 1:
                table_rows[entity_type].append(str(counts[2]))
            table_rows[entity_type] += [percent(scores[f"entity_{part}"]) for part in ("precision", "recall", "f1")]
    return Table(f"Entities of {split} by type", columns, list(table_rows.values()), [NOTE])
