"""Generate unique rows and score them with the teacher.

The teacher scores the decoded text, not the generated tokens. Decoding may change words, and readers of the file have
only the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from kdrun import progress, ranks, rng
from kdrun.data.loader import BatchLoader
from kdrun.data.samplers import longest_first_batches
from kdrun.data.splits import SEPARATOR, TEXT_COLUMNS
from kdrun.data.tokenization import TextTokenizer
from kdrun.generation.text_statistics import GeneratedRow
from kdrun.methods.base import Method
from kdrun.runs.context import PreparedRun
from kdrun.runs.text_samples import text_spans
from kdrun.training.trainer_state import rows_seen_by_all

PHASE = "generated"
"""Name of the random streams from which the text is generated."""
MIN_NEW_SHARE = 0.05
"""Generation ends after a pass with a smaller share of new texts."""

_GeneratedTexts = list[tuple[list[int], int | None]]
"""Token ids and target class of each text of a batch."""


@dataclass
class GenerationCounts:
    """Number of generated texts, by outcome; the names are keys of result.json and card.json.

    Attributes:
        made: all generated texts.
        kept: texts that became rows.
        repeated: texts equal to an earlier one.
        empty: texts without words, or pairs with such a text.
        unknown: texts with the unknown token, which cannot be decoded.
        passes: passes over the source rows; the last one may be partial.
    """

    made: int = 0
    kept: int = 0
    repeated: int = 0
    empty: int = 0
    unknown: int = 0
    passes: int = 0


class RowGenerator:
    """Generates rows until there are enough, or until the generator produces almost no new text.

    Args:
        run: the run, after training.
        method: generates the text.
        loader: the source rows.
        num_rows: requested number of rows.
    """

    def __init__(self, run: PreparedRun, method: Method, loader: BatchLoader, num_rows: int) -> None:
        self.run, self.method, self.loader, self.num_rows = run, method, loader, num_rows
        self.counts = GenerationCounts()
        self._tokenizer: Any = run.roles["generator"].tokenizer
        teacher = run.roles["teacher"]
        self._reader = TextTokenizer(teacher.tokenizer, run.config.data.max_length, teacher.prompts)
        self._columns = TEXT_COLUMNS[: len(run.config.task.text)]
        self._unique_texts: set[str] = set()

    def rows(self) -> Iterator[GeneratedRow]:
        """The rows with the teacher's scores.

        Each pass over the source rows draws as many of them at random as rows are missing, with new noise.
        """
        with progress.track("generating text", self.num_rows) as activity:
            for row in self._rows():
                yield row
                activity.advance()
        if ranks.size() > 1:
            self.loader.load_state(rows_seen_by_all(self.loader))

    def _rows(self) -> Iterator[GeneratedRow]:
        self.method.prepare_export()
        self.method.roles["generator"].eval()
        batch_numbers, lengths = count(), self.loader.tokens["student"].lengths
        for pass_number in count():
            before, batch_size = replace(self.counts), self.run.evaluator.predictor.batch_size
            self.counts.passes += 1
            stream = rng.numpy_stream(self.run.config.seed, PHASE, index=pass_number)
            # at least one batch, because the texts of a few rows may all be repeats by chance
            rows = stream.permutation(self.loader.num_rows)[: max(self.num_rows - self.counts.kept, batch_size)]
            batches = [rows[indices] for indices in longest_first_batches(lengths[rows], batch_size)]
            order = [batches[i] for i in stream.permutation(len(batches))]
            for first in range(0, len(order), ranks.size()):
                numbered = [(next(batch_numbers), batch) for batch in order[first : first + ranks.size()]]
                for batch, texts in zip(order[first:], self._generate(numbered), strict=False):
                    for row in self._score(self._new_rows(batch, texts)):
                        yield row
                        self.counts.kept += 1
                    if self.counts.kept >= self.num_rows:
                        return
            if self.counts.kept - before.kept < MIN_NEW_SHARE * (self.counts.made - before.made):
                return

    def _generate(self, numbered: list[tuple[int, np.ndarray]]) -> list[_GeneratedTexts]:
        """The text of a few batches of source rows with their numbers, one of which each process generates."""
        parts = [self._generate_batch(rows, number) for number, rows in ranks.share(numbered)]
        return [texts for part in ranks.gather(parts) for texts in part]

    def _generate_batch(self, rows: np.ndarray, batch_number: int) -> _GeneratedTexts:
        batch = self.loader.load_batch(rows, PHASE, batch_number)
        with torch.no_grad(), self.run.accelerator.autocast():
            generated = self.method.generate_text(batch)
        classes = [None] * len(rows) if generated.target_class is None else generated.target_class.tolist()
        ids = [row[present].tolist() for row, present in zip(generated.ids, generated.present, strict=True)]
        return list(zip(ids, classes, strict=True))

    def _new_rows(self, rows: np.ndarray, generated: _GeneratedTexts) -> list[GeneratedRow]:
        """New rows without scores from the text of these source rows, up to the requested number."""
        source_rows = self.run.data.student_rows.table.take(pa.array(rows)).to_pylist()
        new_rows: list[GeneratedRow] = []
        for source_row, (ids, target_class), index in zip(source_rows, generated, rows.tolist(), strict=True):
            if self.counts.kept + len(new_rows) == self.num_rows:
                break
            texts = self._new_texts(ids)
            if texts is not None:
                source_texts = tuple(source_row[key] for key in self._columns)
                new_rows.append(GeneratedRow(texts, source_texts, np.empty(0), index, target_class))
        return new_rows

    def _new_texts(self, ids: list[int]) -> tuple[str, ...] | None:
        """Decode and count a row of tokens; None if a text is empty, repeated or has an unknown token."""
        self.counts.made += 1
        if self._tokenizer.unk_token_id in ids:
            self.counts.unknown += 1
            return None
        parts = [self._tokenizer.decode(ids[first:end]).strip() for first, end in text_spans(self._tokenizer, ids)]
        texts = tuple(text for text in parts if text)
        if len(texts) != len(self._columns):
            self.counts.empty += 1
            return None
        key = SEPARATOR.join(texts)
        if key in self._unique_texts:
            self.counts.repeated += 1
            return None
        self._unique_texts.add(key)
        return texts

    def _score(self, rows: list[GeneratedRow]) -> Iterator[GeneratedRow]:
        """The rows with the teacher's probabilities, and its answers for a task answered with text."""
        if not rows:
            return
        evaluator, teacher = self.run.evaluator, self.run.roles["teacher"]
        tokens = self._reader.tokenize([row.texts for row in rows])
        classifier = self.method.context.class_view().as_classifier(teacher.model)
        logits = evaluator.predictor.logits(classifier, tokens, len(self.run.config.task.classes))
        probabilities = torch.from_numpy(logits).double().softmax(dim=-1).numpy()
        answers = evaluator.outputs(teacher, tokens) if evaluator.task_type.generates_text else None
        for i, (row, row_probabilities) in enumerate(zip(rows, probabilities, strict=True)):
            answer = None if answers is None else answers[i].text
            yield replace(row, probabilities=row_probabilities, answer=answer)
