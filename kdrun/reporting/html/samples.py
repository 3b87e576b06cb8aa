"""Gallery of generated text samples."""

from __future__ import annotations

from typing import Any

from kdrun.formatting import join_words, number, shorten
from kdrun.reporting.html.blocks import Block, Gallery, Text, TextSample
from kdrun.reporting.html.run_reader import FinishedRun, get_path

MAX_SAMPLES = 24
MAX_WORDS = 200
MODELS, TIMES = ("teacher", "student"), ("before", "after")


def blocks(run: FinishedRun) -> list[Block] | None:
    """Build the gallery; None for a run without a generator and without samples."""
    generator = get_path(run.config, "generator", "name")
    if not run.samples:
        note = f"No samples of the generator ({generator}): samples.jsonl is missing or empty."
        return [Text(note)] if generator not in (None, "none") else None
    places = _spread(len(run.samples), MAX_SAMPLES)
    gallery = Gallery([_sample(run.samples[place]) for place in places])
    selection = f"{len(places)} of {len(run.samples)}, evenly spaced" if len(places) < len(run.samples) else "all"
    intro = f"Texts of the generator in training order ({selection}); changed words are marked."
    explanation = (
        "The gap is half the sum of the differences between the probabilities of teacher and student: their total "
        "variation distance, if a row has one class (0: equal, 1: disjoint). For scores it is their difference. An "
        "adversarial generator widens the gap."
    )
    return [Text(intro), Text(explanation), gallery]


def _spread(total: int, most: int) -> list[int]:
    """Choose at most `most` of `total` places, evenly spaced, including the first and the last."""
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]


def _sample(line: dict[str, Any]) -> TextSample:
    words, changed = line["text"].split(), set(line["changed"])
    marked = [(word, place in changed) for place, word in enumerate(words)][:MAX_WORDS]
    if len(words) > MAX_WORDS:
        marked.append((f"… ({len(words) - MAX_WORDS} more words)", False))
    tables = {(model, when): line[model][when] for model in MODELS for when in TIMES}
    labels = list(dict.fromkeys(label for table in tables.values() for label in table))
    rows = [[label, *(number(table.get(label), 3) for table in tables.values())] for label in labels]
    columns = ["class", *(f"{model} {when}" for model, when in tables)]
    answers = [(model, shorten(line["answers"][model])) for model in MODELS] if "answers" in line else []
    return TextSample(line["step"], shorten(line["original"]), marked, columns, rows, _gap(tables, labels), answers)


def _gap(tables: dict[tuple[str, str], dict[str, float]], labels: list[str]) -> str:
    gaps = []
    for when in TIMES:
        teacher, student = (tables[who, when] for who in MODELS)
        if set(teacher) != set(labels) or set(student) != set(labels):
            return "Gap between teacher and student: n/a (their classes differ)."
        half = 0.5 if len(labels) > 1 else 1.0  # a score is a single value, counted once
        gaps.append(half * sum(abs(teacher[label] - student[label]) for label in labels))
    text = join_words([f"{number(gap, 3)} {when}" for gap, when in zip(gaps, TIMES, strict=True)])
    return f"Gap between teacher and student: {text}."
