"""Generate unique rows and score them with the teacher.

Rows are scored as the text that is read back, not as the generated tokens: decoding may change words, and readers of
the file have only the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from kdrun import rng
from kdrun.data.loader import BatchLoader
from kdrun.data.samplers import longest_first_batches
from kdrun.data.splits import SEPARATOR, TEXT_COLUMNS
from kdrun.data.tokenization import TextTokenizer
from kdrun.generation.text_statistics import GeneratedRow
from kdrun.methods.base import Method
from kdrun.runs.context import PreparedRun
from kdrun.runs.text_samples import text_spans

PHASE = "generated"
"""Name of the random streams behind the text."""
FEWEST_NEW = 0.05
"""Share of new texts below which another pass over the source rows is not worth its time."""


@dataclass
class GenerationCounts:
    """What became of the texts that were made.

    Attributes:
        made: generated texts.
        kept: texts that became rows.
        repeated: texts that were generated before.
        empty: texts without words, or pairs with such a text.
        unknown: texts with an unknown-word token, which has no text.
        passes: passes over the source rows; the last one may be partial.
    """

    made: int = 0
    kept: int = 0
    repeated: int = 0
    empty: int = 0
    unknown: int = 0
    passes: int = 0


class RowGenerator:
    """Makes rows until there are enough, or until the generator gives hardly a new text.

    Args:
        run: the run, trained.
        method: makes the text.
        loader: the source rows.
        rows: how many are wanted.
    """

    def __init__(self, run: PreparedRun, method: Method, loader: BatchLoader, rows: int) -> None:
        self.run, self.method, self.loader, self.wanted = run, method, loader, rows
        self.counts = GenerationCounts()
        self._tokenizer: Any = run.roles["generator"].tokenizer
        teacher = run.roles["teacher"]
        self._reader = TextTokenizer(teacher.tokenizer, run.config.data.max_length, teacher.prompts)
        self._texts = TEXT_COLUMNS[: len(run.config.task.text)]
        self._seen: set[str] = set()

    def rows(self) -> Iterator[GeneratedRow]:
        """The rows: each pass draws source rows at random, with fresh noise, as many as are still wanted."""
        self.method.roles["generator"].eval()
        number, lengths = count(), self.loader.tokens["student"].lengths
        for attempt in count():
            before, size = (self.counts.made, self.counts.kept), self.run.evaluator.predictor.batch_size
            self.counts.passes += 1
            stream = rng.numpy_stream(self.run.config.seed, PHASE, index=attempt)
            # at least a batch: of a few rows, all may be repeats by chance
            chosen = stream.permutation(self.loader.num_rows)[: max(self.wanted - self.counts.kept, size)]
            batches = [chosen[places] for places in longest_first_batches(lengths[chosen], size)]
            for i in stream.permutation(len(batches)):
                for row in self._scored(self._made(batches[i], next(number))):
                    yield row
                    self.counts.kept += 1
                if self.counts.kept >= self.wanted:
                    return
            made, kept = self.counts.made - before[0], self.counts.kept - before[1]
            if kept < FEWEST_NEW * made:
                return

    def _made(self, rows: np.ndarray, number: int) -> list[GeneratedRow]:
        """New texts generated from these source rows, not yet scored, up to the requested number."""
        batch = self.loader.load_batch(rows, PHASE, number)
        with torch.no_grad(), self.run.accelerator.autocast():
            made = self.method.generate_for_export(batch)
        classes = [None] * len(rows) if made.target_class is None else made.target_class.tolist()
        source = self.run.data.student_rows.table.take(pa.array(rows)).to_pylist()
        found: list[GeneratedRow] = []
        for i, (origin, wanted, name) in enumerate(zip(source, classes, rows.tolist(), strict=True)):
            if self.counts.kept + len(found) == self.wanted:
                break
            texts = self._kept(made.ids[i][made.present[i]].tolist())
            if texts is not None:
                source_texts = tuple(origin[key] for key in self._texts)
                found.append(GeneratedRow(texts, source_texts, np.empty(0), name, wanted))
        return found

    def _kept(self, ids: list[int]) -> tuple[str, ...] | None:
        """The texts of a row of tokens, or None (counted) where it is not to be kept."""
        self.counts.made += 1
        if self._tokenizer.unk_token_id in ids:
            self.counts.unknown += 1
            return None
        parts = [self._tokenizer.decode(ids[first:end]).strip() for first, end in text_spans(self._tokenizer, ids)]
        texts = tuple(text for text in parts if text)
        if len(texts) != len(self._texts):
            self.counts.empty += 1
            return None
        key = SEPARATOR.join(texts)
        if key in self._seen:
            self.counts.repeated += 1
            return None
        self._seen.add(key)
        return texts

    def _scored(self, rows: list[GeneratedRow]) -> Iterator[GeneratedRow]:
        """The rows with the teacher's probabilities of their texts, read as any run reads them."""
        if not rows:
            return
        evaluator, teacher = self.run.evaluator, self.run.roles["teacher"]
        tokens = self._reader.tokenize([row.texts for row in rows])
        classifier = self.method.context.class_view().as_classifier(teacher.model)
        logits = evaluator.predictor.logits(classifier, tokens, len(self.run.config.task.classes))
        scores = torch.from_numpy(logits).double().softmax(dim=-1).numpy()
        written = evaluator.outputs(teacher, tokens) if evaluator.task_type.generates_text else None
        for i, (row, shares) in enumerate(zip(rows, scores, strict=True)):
            yield replace(row, probabilities=shares, answer=None if written is None else written[i].text)
