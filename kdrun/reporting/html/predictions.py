"""Teacher against student, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kdrun.formatting import number, percent, shorten
from kdrun.reporting.html import agreement, extraction, free_text, label_sets, plots
from kdrun.reporting.html.agreement import PredictionPair
from kdrun.reporting.html.blocks import Block, Example, Examples, Figure, Figures, Matrices, Matrix, Table, Text
from kdrun.reporting.html.run_reader import FinishedRun

MODELS = ("teacher", "student")
NO_TEXT = ("text", "n/a (predictions.jsonl holds no text; it was written by an older kdrun)")
MAX_CLASSES = 12
MAX_EXAMPLES = 20
MAX_DOTS = 800


def rows_by_split(run: FinishedRun) -> dict[str, list[dict[str, Any]]]:
    """Group the predictions by split, the headline's split first."""
    splits: dict[str, list[dict[str, Any]]] = {run.result["headline"]["split"]: []}
    for row in run.predictions:
        splits.setdefault(row["split"], []).append(row)
    return {split: rows for split, rows in splits.items() if rows}


def missing_teacher_reason(run: FinishedRun) -> str | None:
    """Return why predictions cannot be compared with a teacher's; None if they can."""
    if not run.predictions:
        return "predictions.jsonl is missing or empty"
    if all("teacher_prediction" in row for row in run.predictions):
        return None
    unknown = (run.reason(key) for key in (run.result.get("reasons") or {}) if key.startswith("teacher.metrics."))
    older = "predictions.jsonl holds no teacher predictions; it was written by an older kdrun"
    return run.reason("teacher") or next(unknown, None) or older


def blocks(run: FinishedRun) -> list[Block]:
    """Build the section on teacher and student."""
    splits = rows_by_split(run)
    reason = missing_teacher_reason(run)
    blocks: list[Block] = []
    if reason:
        blocks.append(Text(f"Teacher and student: n/a ({reason})."))
    if not splits:
        return blocks
    split, rows = next(iter(splits.items()))
    if agreement.is_extraction(rows):
        return blocks + extraction.blocks(splits, has_teacher=reason is None)
    if agreement.is_free_text(rows):
        return blocks + free_text.blocks(splits, has_teacher=reason is None)
    if agreement.is_multi_label(rows):
        return blocks + label_sets.blocks(splits, has_teacher=reason is None)
    if agreement.is_regression(rows):
        return blocks + _score_blocks(splits, split, has_teacher=reason is None)
    pairs = {name: agreement.make_prediction_pair(part) for name, part in splits.items()}
    blocks.append(_agreement_table(pairs))
    blocks.append(_shared_errors(pairs[split], split) if reason is None else Text("The student only:"))
    return blocks + _confusions(pairs[split], split) + _calibrations(pairs[split], split)


def _agreement_table(pairs: dict[str, PredictionPair]) -> Table:
    rows = []
    for split, pair in pairs.items():
        errors = [pair.calibration(model) for model in MODELS]
        ece = [number(calibration.error if calibration else None) for calibration in errors]
        rows.append([split, str(len(pair.rows)), percent(pair.agreement()), *ece])
    columns = ["split", "rows", "same prediction", "teacher ECE", "student ECE"]
    return Table("Agreement and calibration", columns, rows)


def _shared_errors(pair: PredictionPair, split: str) -> Table:
    student, teacher = pair.student == pair.gold, pair.teacher == pair.gold
    return agreement.correctness_table(f"Correct predictions on {split}", "rows", student, teacher)


def _confusions(pair: PredictionPair, split: str) -> list[Block]:
    if len(pair.labels) > MAX_CLASSES:
        return [Text(f"Confusion matrices: n/a ({len(pair.labels)} classes; up to {MAX_CLASSES} are shown).")]
    references = [("gold label", pair.gold)] + ([("teacher", pair.teacher)] if pair.teacher is not None else [])
    matrices = [
        Matrix(
            f"{name.capitalize()} against student on {split}",
            name,
            "student",
            pair.labels,
            agreement.confusion(pair.labels, values, pair.student),
        )
        for name, values in references
    ]
    note = "Counts; shading and percentages are shares of the row. The outlined diagonal is agreement."
    return [Matrices(matrices), Text(note, "small")]


def _calibrations(pair: PredictionPair, split: str) -> list[Block]:
    models = [(model, calibration) for model in MODELS if (calibration := pair.calibration(model))]
    if not models:
        return [Text("Calibration: n/a (predictions.jsonl holds no probabilities).")]
    caption = f"The area of a mark grows with the number of rows of its bin. {agreement.ECE_DEFINITION}"
    return [Figures([Figure(plots.reliability(models), f"Calibration on {split}", caption)])]


def _score_blocks(splits: dict[str, list[dict[str, Any]]], split: str, *, has_teacher: bool) -> list[Block]:
    """Show correlations and scatter plots for a task whose labels are scores."""
    rows = []
    for name, part in splits.items():
        values = score_columns(part, has_teacher)
        teacher, student, gold = values.get("teacher"), values["student"], values["gold"]
        correlation = agreement.correlation(teacher, student) if teacher is not None else None
        distance = float(np.abs(teacher - student).mean()) if teacher is not None else None
        errors = [float(np.abs(v - gold).mean()) if v is not None else None for v in (teacher, student)]
        rows.append([name, str(len(part)), number(correlation), *(number(v) for v in (distance, *errors))])
    columns = ["split", "rows", "correlation", "mean distance", "teacher's mean error", "student's mean error"]
    note = (
        "Correlation (Pearson) and mean absolute distance of teacher and student; errors are mean absolute distances "
        "to the gold scores. Scores have no probabilities, so there is no calibration."
    )
    scores = score_columns(splits[split], has_teacher)
    figures = [_scatter(scores, name, split) for name in ("gold", "teacher") if name in scores]
    return [Table("Agreement of scores", columns, rows, [note]), Figures(figures)]


def score_columns(rows: Sequence[dict[str, Any]], has_teacher: bool) -> dict[str, np.ndarray]:
    """Return the gold scores, the student's, and optionally the teacher's, [rows] each."""
    keys = {"gold": "gold", "student": "prediction"} | ({"teacher": "teacher_prediction"} if has_teacher else {})
    return {name: np.array([row[key] for row in rows], dtype=float) for name, key in keys.items()}


def _scatter(columns: dict[str, np.ndarray], name: str, split: str) -> Figure:
    total = len(columns[name])
    every = -(-total // MAX_DOTS)
    first, second = columns[name][::every], columns["student"][::every]
    thinned = f" One row in {every} of {total} is plotted." if every > 1 else ""
    x_name = "gold score" if name == "gold" else "teacher's score"
    correlation = f"correlation {number(agreement.correlation(columns[name], columns['student']))}"
    title = f"{name} against student"
    svg = plots.scatter(title, first, second, (x_name, "student's score"), plots.ROLE_COLORS["student"], correlation)
    return Figure(svg, f"{title.capitalize()} on {split}", f"Dashed: line of equality; {correlation}.{thinned}")


def difference_blocks(run: FinishedRun) -> list[Block]:
    """Build the section on the rows on which teacher and student differ most."""
    reason = missing_teacher_reason(run)
    if reason:
        return [Text(f"n/a ({reason}).")]
    split, rows = next(iter(rows_by_split(run).items()))
    if agreement.is_regression(rows):
        columns = score_columns(rows, has_teacher=True)
        gap, measure = np.abs(columns["teacher"] - columns["student"]), "distance of their scores"
    elif agreement.is_extraction(rows):
        gap, measure = extraction.gap(rows), "number of entities that only one of them names"
    elif agreement.is_free_text(rows):
        gap, measure = free_text.gap(rows), "difference of their answers (1 − ROUGE-L)"
    else:
        if agreement.is_multi_label(rows):
            distance, measure = label_sets.gap(rows), "difference of their probabilities of one class"
        else:
            pair = agreement.make_prediction_pair(rows)
            distance, measure = pair.gap(), "total variation distance of their probabilities"
        if distance is None:
            return [Text("n/a (predictions.jsonl holds no probabilities).")]
        gap = distance
    places = agreement.largest_places(gap, MAX_EXAMPLES)
    if not places:
        return [Text(f"Teacher and student give the same predictions on every row of {split}.")]
    intro = f"The {len(places)} rows of {split} with the largest {measure}, of {len(rows)}."
    return [Text(intro), Examples([_example(rows[place], float(gap[place]), place) for place in places])]


def _example(row: dict[str, Any], gap: float, place: int) -> Example:
    texts = [(name, shorten(str(row[key]))) for key, name in (("text", "1"), ("text_pair", "2")) if row.get(key)]
    facts = [("domain", row["domain"])] if "domain" in row else []
    facts += [
        ("gold", label_text(row["gold"])),
        ("teacher", _prediction(row, "teacher_")),
        ("student", _prediction(row, "")),
    ]
    return Example(f"Row {row.get('id', place)}", texts or [NO_TEXT], [*facts, ("gap", number(gap, 3))])


def label_text(value: Any) -> str:
    """Return a class, the classes of a label set, or a score, as text."""
    if isinstance(value, list):
        return ", ".join(value) or "no class"
    return value if isinstance(value, str) else number(value, 3)


def _prediction(row: dict[str, Any], whose: str) -> str:
    """Return a prediction with the largest class probabilities."""
    predicted, shares = row[f"{whose}prediction"], row.get(f"{whose}probabilities")
    if shares is None:
        return label_text(predicted)
    largest = sorted(shares.items(), key=lambda item: -item[1])[:4]
    return f"{label_text(predicted)} ({', '.join(f'{label} {number(share, 3)}' for label, share in largest)})"
