"""Gallery of generated text samples."""

from __future__ import annotations

from typing import Any

from kdrun.errors import DataError
from kdrun.formatting import join_words, number, plural, shorten
from kdrun.reporting.html.blocks import Block, Gallery, Text, TextSample
from kdrun.reporting.html.run_reader import FinishedRun, get_path

MOST_SAMPLES = 24
MOST_WORDS = 200
MODELS, TIMES = ("teacher", "student"), ("before", "after")


def blocks(run: FinishedRun) -> list[Block] | None:
    """The gallery; None for a run without a generator and without samples."""
    generator = get_path(run.config, "generator", "name")
    if not run.samples:
        missing = f"The generator of this run ({generator}) left no texts: samples.jsonl is missing or empty."
        return [Text(missing)] if generator not in (None, "none") else None
    places = _spread(len(run.samples), MOST_SAMPLES)
    shown = Gallery([_sample(run.samples[place], place + 1) for place in places])
    chosen = f"{len(places)} of {len(run.samples)}, evenly spaced" if len(places) < len(run.samples) else "all"
    told = f"Texts of the generator in the order of training ({chosen}); changed words are marked."
    meaning = (
        "The gap is the total variation distance between the probabilities of teacher and student (0: equal, 1: "
        "apart), or the difference of their scores; a generator that is meant to find what the student "
        "has yet to learn widens it."
    )
    return [Text(told), Text(meaning), shown]


def _spread(total: int, most: int) -> list[int]:
    """At most `most` of `total` places, evenly spaced, the first and the last among them."""
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]


def _sample(line: dict[str, Any], number_of: int) -> TextSample:
    words, changed = line["text"].split(), set(line["changed"])
    wrong = sorted(place for place in changed if place not in range(len(words)))
    if wrong:
        raise DataError(
            f"samples.jsonl, sample {number_of}: `changed` names {plural(len(wrong), 'word')} that the text does not "
            f"have (the first is {wrong[0]}; the text has {plural(len(words), 'word')}, counted from 0)"
        )
    marked = [(word, place in changed) for place, word in enumerate(words)][:MOST_WORDS]
    if len(words) > MOST_WORDS:
        marked.append((f"… ({len(words) - MOST_WORDS} more words)", False))
    tables = {(who, when): line[who][when] for who in MODELS for when in TIMES}
    labels = list(dict.fromkeys(label for table in tables.values() for label in table))
    rows = [[label, *(number(table.get(label), 3) for table in tables.values())] for label in labels]
    columns = ["class", *(f"{who} {when}" for who, when in tables)]
    answers = [(who, shorten(line["answers"][who])) for who in MODELS] if "answers" in line else []
    return TextSample(line["step"], shorten(line["original"]), marked, columns, rows, _gap(tables, labels), answers)


def _gap(tables: dict[tuple[str, str], dict[str, float]], labels: list[str]) -> str:
    gaps = []
    for when in TIMES:
        teacher, student = (tables[who, when] for who in MODELS)
        if set(teacher) != set(labels) or set(student) != set(labels):
            return "Gap between teacher and student: n/a (they do not give the same classes probabilities)."
        half = 0.5 if len(labels) > 1 else 1.0  # a score has no other classes to differ on
        gaps.append(half * sum(abs(teacher[label] - student[label]) for label in labels))
    shown = join_words([f"{number(gap, 3)} {when}" for gap, when in zip(gaps, TIMES, strict=True)])
    return f"Gap between teacher and student: {shown}."
