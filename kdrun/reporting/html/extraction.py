"""Teacher against student on entity extraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdrun.data import entities
from kdrun.formatting import number, percent
from kdrun.reporting.html.agreement import is_right
from kdrun.reporting.html.blocks import Block, Table

Rows = Sequence[dict[str, Any]]
NOTE = (
    "Entities are compared as (type, words) a sentence, without case, accents and blanks; where they stand in the "
    "sentence is not said, so not compared."
)


def blocks(splits: Mapping[str, Rows], *, has_teacher: bool) -> list[Block]:
    """Agreement, who is right, and the scores by type, of every split."""
    made: list[Block] = [_agreement(splits, has_teacher)]
    if has_teacher:
        made += [_shared_errors(rows, split) for split, rows in splits.items()]
    return made + [_by_type(rows, split, has_teacher) for split, rows in splits.items()]


def agreement(rows: Rows) -> float:
    """The share of sentences of which teacher and student name the same entities."""
    return float(np.mean([entities.same_entities(row["prediction"], row["teacher_prediction"]) for row in rows]))


def gap(rows: Rows) -> np.ndarray:
    """How many entities only one of teacher and student names, [rows]."""
    return np.array([entities.num_different(row["prediction"], row["teacher_prediction"]) for row in rows], dtype=float)


def _agreement(splits: Mapping[str, Rows], has_teacher: bool) -> Table:
    rows = []
    for split, part in splits.items():
        made_up = sum(entities.count_unsupported(row["text"], row["prediction"]) for row in part)
        cut = sum(bool(row.get("cut")) for row in part)
        rows.append([split, str(len(part)), percent(agreement(part) if has_teacher else None), str(made_up), str(cut)])
    columns = ["split", "sentences", "same entities", "entities the sentence does not have", "answers without an end"]
    return Table("Agreement, and what the student wrote", columns, rows)


def _shared_errors(rows: Rows, split: str) -> Table:
    student, teacher = (np.array([is_right(row, whose) for row in rows]) for whose in ("", "teacher_"))
    cases = [
        ("both right", student & teacher),
        ("only the teacher right", ~student & teacher),
        ("only the student right", student & ~teacher),
        ("both wrong", ~student & ~teacher),
    ]
    shown = [[name, str(int(hit.sum())), percent(float(hit.mean()))] for name, hit in cases]
    return Table(f"Who names all entities of a sentence of {split}, and no other", ["", "sentences", "share"], shown)


def _by_type(rows: Rows, split: str, has_teacher: bool) -> Table:
    gold = [row["gold"] for row in rows]
    types = sorted({kind for text in gold for kind, _ in entities.parse(text)})
    models = [("teacher", "teacher_prediction")] if has_teacher else []
    models.append(("student", "prediction"))
    columns, shown = ["type", "there"], {kind: [kind] for kind in types}
    for name, key in models:
        columns += [f"{name}'s precision", f"{name}'s recall", f"{name}'s F1"]
        for kind, counts in entities.matches_by_type(gold, [row[key] for row in rows], types).items():
            scores = entities.scores_from_counts(*counts)
            if len(shown[kind]) == 1:
                shown[kind].append(str(counts[2]))
            shown[kind] += [number(scores[f"entity_{part}"]) for part in ("precision", "recall", "f1")]
    return Table(f"Entities of {split} by type", columns, list(shown.values()), [NOTE])
