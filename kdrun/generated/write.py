"""The `generated/` folder of a run: rows, card, and the card for people; there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from kdrun import generated, rng
from kdrun.assembly import Run
from kdrun.cache import file_digest
from kdrun.data.feed import Feed
from kdrun.data.generated import CARD, FILE, FOLDER, read
from kdrun.data.table import TEXTS
from kdrun.generated import card
from kdrun.generated.make import Maker
from kdrun.generated.quality import Row, measure
from kdrun.method import Method

EXAMPLES = 5
"""Rows of each class that the card shows."""


def leave(this: Run, method: Method, feed: Feed) -> dict[str, Any] | None:
    """Make, score, measure and write the text that a run leaves behind.

    Args:
        this: the run, trained, with its folder.
        method: makes the text.
        feed: the rows that it is made of.

    Returns:
        For result.json: where it is, counts, figures, and the fingerprint of the rows as another run reads them. None
        where none is asked for, or the generator gave no text.
    """
    assert this.folder is not None
    rows = generated.rows_wanted(this.config, feed.num_rows)
    if not rows:
        return None
    this.screen.say(f"generator makes {rows} rows of text, the teacher scores them")
    maker, task = Maker(this, method, feed, rows), this.config.task
    classes = task.classes
    shown = Examples(classes, this.config.seed)
    place = this.folder.path / FOLDER
    work = place.with_name(f".{FOLDER}.tmp")
    shutil.rmtree(work, ignore_errors=True)  # of a process that died here
    work.mkdir()
    try:
        with (work / FILE).open("w", encoding="utf-8") as file:
            lines = _written(shown.watch(maker.rows()), file, classes)
            first = next(lines, None)
            if first is None:
                this.screen.warn(
                    f"no text was left behind: of {maker.counts.made} made, all were empty or unknown words"
                )
                return None
            figures = measure(_again(first, lines), classes)
            file.flush()
            os.fsync(file.fileno())
        split = read(str(work / FILE), task)  # what was written can be read, and this is what it will be known by
        facts = {"rows": split.num_rows, "sha256": file_digest(work / FILE), "fingerprint": split.fingerprint}
        told = card.facts(this, feed, asdict(maker.counts) | {"wanted": rows}, figures, facts, shown.found())
        (work / CARD).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (work / "README.md").write_text(card.page(told), encoding="utf-8")
        shutil.rmtree(place, ignore_errors=True)  # of a process that died between here and the result
        work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {"path": f"{FOLDER}/{FILE}", **told["file"], "counts": told["counts"], "quality": figures}


def _written(rows: Iterable[Row], file: IO[str], labels: list[str]) -> Iterator[Row]:
    """The rows, each written as a line on its way."""
    for row in rows:
        file.write(json.dumps(line(row, labels), ensure_ascii=False) + "\n")
        yield row


def line(row: Row, labels: list[str]) -> dict[str, Any]:
    """A row as `kdrun.data.generated` reads it."""
    shares = {name: round(float(share), 6) for name, share in zip(labels, row.probabilities, strict=True)}
    made: dict[str, Any] = dict(zip(TEXTS, row.texts, strict=False))
    wanted = None if row.wanted is None else labels[row.wanted]
    answer = {} if row.answer is None else {"answer": row.answer}
    return made | {"wanted": wanted, "teacher": shares, **answer, "source": row.source}


def _again(first: Row, rest: Iterable[Row]) -> Iterator[Row]:
    yield first
    yield from rest


class Examples:
    """A few rows of each class, drawn at random from a stream of rows, each as likely as any other (Vitter 1985)."""

    def __init__(self, labels: list[str], seed: int) -> None:
        self._labels, self._draws = labels, rng.numpy_stream(seed, "examples", "generated")
        self._kept: list[list[Row]] = [[] for _ in labels]
        self._counts = np.zeros(len(labels), int)

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
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
