"""Teacher against student, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kdrun.formatting import number, percent, shorten
from kdrun.reporting.html import agreement, extraction, plots
from kdrun.reporting.html.agreement import PredictionPair
from kdrun.reporting.html.blocks import Block, Example, Examples, Figure, Figures, Matrices, Matrix, Table, Text
from kdrun.reporting.html.run_reader import FinishedRun

MODELS = ("teacher", "student")
NO_TEXT = ("text", "n/a (predictions.jsonl holds no text: an older kdrun wrote it)")
MOST_CLASSES = 12
MOST_EXAMPLES = 20
MOST_DOTS = 800


def by_split(run: FinishedRun) -> dict[str, list[dict[str, Any]]]:
    """The predictions of each split, that of the headline first."""
    splits: dict[str, list[dict[str, Any]]] = {run.result["headline"]["split"]: []}
    for row in run.predictions:
        splits.setdefault(row["split"], []).append(row)
    return {split: rows for split, rows in splits.items() if rows}


def why_no_teacher(run: FinishedRun) -> str | None:
    """Why predictions cannot be held against a teacher's; None when they can."""
    if not run.predictions:
        return "predictions.jsonl is missing or empty"
    if all("teacher_prediction" in row for row in run.predictions):
        return None
    return run.reason("teacher") or "predictions.jsonl does not hold the teacher's answers: an older kdrun wrote it"


def blocks(run: FinishedRun) -> list[Block]:
    """The section on teacher and student."""
    splits = by_split(run)
    missing = why_no_teacher(run)
    made: list[Block] = []
    if missing:
        made.append(Text(f"Teacher against student: n/a ({missing})."))
    if not splits:
        return made
    split, rows = next(iter(splits.items()))
    if agreement.is_extraction(rows):
        return made + extraction.blocks(splits, has_teacher=missing is None)
    if agreement.is_regression(rows):
        return made + _of_scores(splits, split, has_teacher=missing is None)
    found = {name: agreement.answers(part) for name, part in splits.items()}
    made.append(_agreement_table(found))
    made.append(_shared_errors(found[split], split) if missing is None else Text("The student alone:"))
    return made + _confusions(found[split], split) + _calibrations(found[split], split)


def _agreement_table(found: dict[str, PredictionPair]) -> Table:
    rows = []
    for split, answers in found.items():
        errors = [answers.calibration(who) for who in MODELS]
        shown = [number(c.error if c else None) for c in errors]
        rows.append([split, str(len(answers.rows)), percent(answers.agreement()), *shown])
    columns = ["split", "rows", "same prediction", "teacher ECE", "student ECE"]
    return Table("Agreement and calibration", columns, rows)


def _shared_errors(answers: PredictionPair, split: str) -> Table:
    student, teacher = answers.student == answers.gold, answers.teacher == answers.gold
    cases = [
        ("both right", student & teacher),
        ("only the teacher right", ~student & teacher),
        ("only the student right", student & ~teacher),
        ("both wrong", ~student & ~teacher),
    ]
    rows = [[name, str(int(hit.sum())), percent(float(hit.mean()))] for name, hit in cases]
    return Table(f"Who is right on {split}", ["", "rows", "share"], rows)


def _confusions(answers: PredictionPair, split: str) -> list[Block]:
    if len(answers.labels) > MOST_CLASSES:
        return [Text(f"Confusion matrices: n/a ({len(answers.labels)} classes; up to {MOST_CLASSES} are shown).")]
    pairs = [("gold label", answers.gold)] + ([("teacher", answers.teacher)] if answers.teacher is not None else [])
    matrices = [
        Matrix(
            f"{name.capitalize()} against student on {split}",
            name,
            "student",
            answers.labels,
            agreement.confusion(answers.labels, values, answers.student),
        )
        for name, values in pairs
    ]
    note = "Counts; the shade and the percentage are the share of the row. The outlined diagonal is agreement."
    return [Matrices(matrices), Text(note, "small")]


def _calibrations(answers: PredictionPair, split: str) -> list[Block]:
    models = [(who, found) for who in MODELS if (found := answers.calibration(who))]
    if not models:
        return [Text("Calibration: n/a (predictions.jsonl holds no probabilities).")]
    caption = f"A mark's area grows with the rows of its bin. {agreement.ECE_DEFINITION}"
    return [Figures([Figure(plots.reliability(models), f"Calibration on {split}", caption)])]


def _of_scores(splits: dict[str, list[dict[str, Any]]], split: str, *, has_teacher: bool) -> list[Block]:
    """A task whose answers are scores: correlations and scatter plots."""
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
        "to the gold scores. There are no probabilities, so no calibration."
    )
    columns_of = score_columns(splits[split], has_teacher)
    figures = [_scatter(columns_of, name, split) for name in ("gold", "teacher") if name in columns_of]
    return [Table("Agreement of scores", columns, rows, [note]), Figures(figures)]


def score_columns(rows: Sequence[dict[str, Any]], has_teacher: bool) -> dict[str, np.ndarray]:
    """Gold, the student's and perhaps the teacher's scores, [rows] each."""
    keys = {"gold": "gold", "student": "prediction"} | ({"teacher": "teacher_prediction"} if has_teacher else {})
    return {name: np.array([row[key] for row in rows], dtype=float) for name, key in keys.items()}


def _scatter(columns: dict[str, np.ndarray], name: str, split: str) -> Figure:
    total = len(columns[name])
    every = -(-total // MOST_DOTS)
    first, second = columns[name][::every], columns["student"][::every]
    thinned = f" One row in {every} of {total} is drawn." if every > 1 else ""
    known = "gold score" if name == "gold" else "teacher's score"
    correlation = f"correlation {number(agreement.correlation(columns[name], columns['student']))}"
    title = f"{name} against student"
    svg = plots.scatter(title, first, second, (known, "student's score"), plots.COLOUR_OF["student"], correlation)
    return Figure(
        svg, f"{title.capitalize()} on {split}", f"On the dashed line both are equal; {correlation}.{thinned}"
    )


def differences(run: FinishedRun) -> list[Block]:
    """The section on the rows on which teacher and student differ most."""
    missing = why_no_teacher(run)
    if missing:
        return [Text(f"n/a ({missing}).")]
    split, rows = next(iter(by_split(run).items()))
    if agreement.is_regression(rows):
        columns = score_columns(rows, has_teacher=True)
        gap, what = np.abs(columns["teacher"] - columns["student"]), "distance of their scores"
    elif agreement.is_extraction(rows):
        gap, what = extraction.gap(rows), "number of entities that only one of them names"
    else:
        found = agreement.answers(rows).gap()
        if found is None:
            return [Text("n/a (predictions.jsonl holds no probabilities).")]
        gap, what = found, "total variation distance of their probabilities"
    places = agreement.most(gap, MOST_EXAMPLES)
    if not places:
        return [Text(f"Teacher and student give the same answers on every row of {split}.")]
    told = f"The {len(places)} rows of {split} with the largest {what}, of {len(rows)}."
    return [Text(told), Examples([_example(rows[place], float(gap[place]), place) for place in places])]


def _example(row: dict[str, Any], gap: float, place: int) -> Example:
    texts = [(name, shorten(str(row[key]))) for key, name in (("text", "1"), ("text_pair", "2")) if row.get(key)]
    facts = [("domain", row["domain"])] if "domain" in row else []
    facts += [("gold", _answer(row["gold"])), ("teacher", _answered(row, "teacher_")), ("student", _answered(row, ""))]
    return Example(f"Row {row.get('id', place)}", texts or [NO_TEXT], [*facts, ("gap", number(gap, 3))])


def _answer(value: Any) -> str:
    return value if isinstance(value, str) else number(value, 3)


def _answered(row: dict[str, Any], whose: str) -> str:
    """A prediction, and the probability of every class where there are few."""
    predicted, shares = row[f"{whose}prediction"], row.get(f"{whose}probabilities")
    if shares is None:
        return _answer(predicted)
    shown = sorted(shares.items(), key=lambda item: -item[1])[:4]
    return f"{predicted} ({', '.join(f'{label} {number(share, 3)}' for label, share in shown)})"
