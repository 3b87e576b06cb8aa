"""Write the rows, their card and a README, all or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from kdrun import rng
from kdrun.data.loader import BatchLoader
from kdrun.data.sources.generated_text import CARD, FILE, FOLDER, read_generated
from kdrun.data.splits import TEXT_COLUMNS
from kdrun.generation.text_statistics import GeneratedRow, measure
from kdrun.methods.base import Method
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.runs.export.generated_text import card, plan
from kdrun.runs.export.generated_text.generate import RowGenerator
from kdrun.storage.hashing import file_digest
from kdrun.storage.run_result import GeneratedTextResult

EXAMPLES = 5
"""Rows of each class that the card shows."""


def export_generated_text(
    run: PreparedRun, method: Method, loader: BatchLoader, teacher: TeacherResult | None
) -> GeneratedTextResult | None:
    """Make, score, measure and write the text that a run leaves behind.

    Args:
        run: the run, trained, with its folder.
        method: makes the text.
        loader: source rows.
        teacher: scores the text.

    Returns:
        For result.json: where it is, counts, figures, and the fingerprint of the rows as another run reads them. None
        where none is asked for, or the generator gave no text.
    """
    rows = plan.num_rows_to_export(run.config, loader.num_rows)
    if not rows:
        return None
    assert run.run_dir is not None
    assert teacher is not None
    run.console.print(f"generator makes {rows} rows of text, the teacher scores them")
    maker, task, classes = RowGenerator(run, method, loader, rows), run.config.task, run.config.task.classes
    shown = ReservoirExamples(classes, run.config.seed)
    place = run.run_dir.path / FOLDER
    work = place.with_name(f".{FOLDER}.tmp")
    shutil.rmtree(work, ignore_errors=True)  # of a process that died here
    work.mkdir()
    try:
        with (work / FILE).open("w", encoding="utf-8") as file:
            lines = _written(shown.watch(maker.rows()), file, classes)
            first = next(lines, None)
            if first is None:
                run.console.warning(f"no text exported: all {maker.counts.made} texts were empty or unknown words")
                return None
            figures = measure(_again(first, lines), classes)
            file.flush()
            os.fsync(file.fileno())
        split = read_generated(str(work / FILE), task)  # the rows as another run reads them
        file_facts = {"rows": split.num_rows, "sha256": file_digest(work / FILE), "fingerprint": split.fingerprint}
        counts = asdict(maker.counts) | {"wanted": rows}
        content = card.card_content(run, teacher, loader, counts, figures, file_facts, shown.found())
        _write_card(work, content)
        shutil.rmtree(place, ignore_errors=True)  # of a process that died between here and the result
        work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {
        "path": f"{FOLDER}/{FILE}",
        "rows": split.num_rows,
        "sha256": file_facts["sha256"],
        "fingerprint": split.fingerprint,
        "name": FILE,
        "counts": counts,
        "quality": figures,
    }


def _write_card(folder: Path, content: dict[str, Any]) -> None:
    (folder / CARD).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card.card_markdown(content), encoding="utf-8")


def _written(rows: Iterable[GeneratedRow], file: IO[str], labels: list[str]) -> Iterator[GeneratedRow]:
    """The rows, each written as a line on its way."""
    for row in rows:
        file.write(json.dumps(line(row, labels), ensure_ascii=False) + "\n")
        yield row


def line(row: GeneratedRow, labels: list[str]) -> dict[str, Any]:
    """A row as `kdrun.data.sources.generated_text` reads it."""
    shares = {name: round(float(share), 6) for name, share in zip(labels, row.probabilities, strict=True)}
    made: dict[str, Any] = dict(zip(TEXT_COLUMNS, row.texts, strict=False))
    wanted = None if row.target_class is None else labels[row.target_class]
    answer = {} if row.answer is None else {"answer": row.answer}
    return made | {"wanted": wanted, "teacher": shares, **answer, "source": row.source}


def _again(first: GeneratedRow, rest: Iterable[GeneratedRow]) -> Iterator[GeneratedRow]:
    yield first
    yield from rest


class ReservoirExamples:
    """A few rows of each class, drawn at random from a stream of rows, each as likely as any other (Vitter 1985)."""

    def __init__(self, labels: list[str], seed: int) -> None:
        self._labels, self._draws = labels, rng.numpy_stream(seed, "examples", "generated")
        self._kept: list[list[GeneratedRow]] = [[] for _ in labels]
        self._counts = np.zeros(len(labels), int)

    def watch(self, rows: Iterable[GeneratedRow]) -> Iterator[GeneratedRow]:
        """The rows as they come."""
        for row in rows:
            kept, number = self._kept[row.label], int(self._counts[row.label])
            self._counts[row.label] += 1
            if number < EXAMPLES:
                kept.append(row)
            elif (place := int(self._draws.integers(number + 1))) < EXAMPLES:
                kept[place] = row
            yield row

    def found(self) -> dict[str, list[dict[str, Any]]]:
        """By class, the lines of its rows, each with the text that it was made of."""
        return {
            name: [line(row, self._labels) | {"made_of": list(row.source_texts)} for row in kept]
            for name, kept in zip(self._labels, self._kept, strict=True)
        }
