"""Write the rows, their card and a README to one folder, atomically."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from kdrun import ranks, rng
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

EXAMPLES_PER_CLASS = 5
"""Rows of each class on the card."""


def export_generated_text(
    run: PreparedRun, method: Method, loader: BatchLoader, teacher: TeacherResult | None
) -> GeneratedTextResult | None:
    """Generate, score, measure and write the text that a run exports.

    Args:
        run: the run, after training, with its folder.
        method: generates the text.
        loader: source rows.
        teacher: scores the text.

    Returns:
        Path, counts and statistics for result.json, and the fingerprint of the rows as another run reads them. None
        if the run exports no text, if the generator produced none, and in every process except the first.
    """
    rows = plan.num_rows_to_export(run.config, loader.num_rows)
    if not rows:
        return None
    assert run.run_dir is not None
    assert teacher is not None
    run.console.print(f"generating {rows} rows of text, scored by the teacher")
    generator, task, classes = RowGenerator(run, method, loader, rows), run.config.task, run.config.task.classes
    if not ranks.is_first():  # takes part in the generation, and writes nothing
        deque(generator.rows(), maxlen=0)
        return None
    examples = ReservoirExamples(classes, run.config.seed)
    place = run.run_dir.path / FOLDER
    work = _empty_folder(place.with_name(f".{FOLDER}.tmp"))
    try:
        with (work / FILE).open("w", encoding="utf-8") as file:
            scored_rows = _write_rows(examples.sample_from(generator.rows()), file, classes)
            first = next(scored_rows, None)
            if first is None:
                run.console.warning(f"no text exported: {generator.counts.made} texts are all empty or unknown words")
                return None
            quality = measure(chain([first], scored_rows), classes)
            file.flush()
            os.fsync(file.fileno())
        split = read_generated(str(work / FILE), task)  # the rows as another run reads them
        file_facts = {"rows": split.num_rows, "sha256": file_digest(work / FILE), "fingerprint": split.fingerprint}
        counts = asdict(generator.counts) | {"wanted": rows}
        content = card.card_content(run, teacher, loader, counts, quality, file_facts, examples.lines_by_class())
        _write_card(work, content)
        shutil.rmtree(place, ignore_errors=True)  # left by a process that crashed before it wrote the result
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
        "quality": quality,
    }


def _empty_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)  # left by a crashed process
    folder.mkdir()
    return folder


def _write_card(folder: Path, content: dict[str, Any]) -> None:
    (folder / CARD).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card.card_markdown(content), encoding="utf-8")


def _write_rows(rows: Iterable[GeneratedRow], file: IO[str], labels: list[str]) -> Iterator[GeneratedRow]:
    """Write each row as a line of a file and pass it on."""
    for row in rows:
        file.write(json.dumps(line(row, labels), ensure_ascii=False) + "\n")
        yield row


def line(row: GeneratedRow, labels: list[str]) -> dict[str, Any]:
    """A row as a line of the file, in the format that `kdrun.data.sources.generated_text` reads."""
    probabilities = {name: round(float(p), 6) for name, p in zip(labels, row.probabilities, strict=True)}
    texts: dict[str, Any] = dict(zip(TEXT_COLUMNS, row.texts, strict=False))
    target_class = None if row.target_class is None else labels[row.target_class]
    answer = {} if row.answer is None else {"answer": row.answer}
    return texts | {"wanted": target_class, "teacher": probabilities, **answer, "source": row.source}


class ReservoirExamples:
    """Uniform random sample of rows per class from a stream of rows (reservoir sampling, Vitter 1985)."""

    def __init__(self, labels: list[str], seed: int) -> None:
        self._labels, self._draws = labels, rng.numpy_stream(seed, "examples", "generated")
        self._samples: list[list[GeneratedRow]] = [[] for _ in labels]
        self._counts = np.zeros(len(labels), int)

    def sample_from(self, rows: Iterable[GeneratedRow]) -> Iterator[GeneratedRow]:
        """Add each row to the sample and pass it on."""
        for row in rows:
            sample, number = self._samples[row.label], int(self._counts[row.label])
            self._counts[row.label] += 1
            if number < EXAMPLES_PER_CLASS:
                sample.append(row)
            elif (place := int(self._draws.integers(number + 1))) < EXAMPLES_PER_CLASS:
                sample[place] = row
            yield row

    def lines_by_class(self) -> dict[str, list[dict[str, Any]]]:
        """The lines of the sampled rows per class, each with its source text as `made_of`."""
        return {
            name: [line(row, self._labels) | {"made_of": list(row.source_texts)} for row in sample]
            for name, sample in zip(self._labels, self._samples, strict=True)
        }
