"""Compare an exported file with PyTorch on the dev rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kdrun.data.tokenization import TokenizedSplit
from kdrun.deployment.dev_rows import DevRows
from kdrun.deployment.row_model import RowModel, TorchModel, logits, logits_in_order
from kdrun.deployment.saved_model import SavedModel

BATCH = 32
SINGLE_ROWS = 200
"""Rows that are also compared one at a time."""


@dataclass(frozen=True)
class Parity:
    """Agreement of a file with PyTorch.

    Attributes:
        rows: number of dev rows, all of which were compared.
        differences: largest difference between logits, by the way of calling the file.
        max_difference: the largest of them.
        relative_difference: the largest of them, divided by the largest logit of PyTorch.
        same_answer: share of rows with the same answer; None for a score.
        metric: name of the metric.
        split: its split.
        score: metric of the file; None where it is undefined.
        torch_score: metric of PyTorch on the same rows.
    """

    rows: int
    differences: dict[str, float]
    max_difference: float
    relative_difference: float
    same_answer: float | None
    metric: str
    split: str
    score: float | None
    torch_score: float | None

    def plain(self) -> dict[str, Any]:
        """The values for a JSON file."""
        return asdict(self)

    def keeps(self, share: float) -> bool:
        """Whether the file keeps this share of PyTorch's score; not if either score is undefined."""
        if self.score is None or self.torch_score is None:
            return False
        return self.torch_score - self.score <= (1 - share) * abs(self.torch_score)


class ParityCheck:
    """Outputs of PyTorch on the dev rows of a run, to compare files with.

    Args:
        saved: a saved student with logits.
        dev: dev rows of its run.
        metric: metric to report.
        split: its split.
    """

    def __init__(self, saved: SavedModel, dev: DevRows, metric: str, split: str) -> None:
        self.saved, self.dev, self.metric, self.split = saved, dev, metric, split
        self._torch = TorchModel(saved)
        self._tokens = saved.tokenize(dev.texts)
        self._reference = logits_in_order(self._torch, self._tokens, BATCH, "scoring with PyTorch")
        longest = dev.texts[int(self._tokens.lengths.argmax())]
        copies = -(-saved.max_length // max(1, int(self._tokens.lengths.max()) - 4)) + 1
        self._full = saved.tokenize([tuple(" ".join([text] * copies) for text in longest)])

    def compare(self, model: RowModel, name: str) -> Parity:
        """Compare a file with PyTorch: batches of 32 in row order, single rows, the shortest and the longest row.

        Args:
            model: the file.
            name: name of the file on the console.
        """
        tokens, reference, label = self._tokens, self._reference, f"scoring with {name}"
        order = np.arange(tokens.num_rows)
        outputs = logits(model, tokens, np.array_split(order, -(-len(order) // BATCH)), label)
        ends = np.array([tokens.lengths.argmin(), tokens.lengths.argmax()])
        single = np.unique(np.concatenate([ends, order[:: max(1, len(order) // SINGLE_ROWS)]]))
        differences = {
            f"batches of {BATCH}": _largest(outputs, reference),
            "single rows": _largest(logits(model, tokens, np.split(single, len(single)), label), reference[single]),
            "shortest and longest row": _largest(model(tokens.batch(ends)), reference[ends]),
            f"row of {int(self._full.lengths[0])} tokens": self._full_row_difference(model, self._full),
        }
        largest = float(np.max(list(differences.values())))  # NaN if one is
        task_type, dev = self.saved.task_type, self.dev
        return Parity(
            rows=tokens.num_rows,
            differences=differences,
            max_difference=largest,
            relative_difference=largest / max(float(np.abs(reference).max()), float(np.finfo(np.float32).tiny)),
            same_answer=None if self.saved.task.is_regression else self._same_answer(outputs),
            metric=self.metric,
            split=self.split,
            score=dev.score(task_type, outputs, self.split, self.metric),
            torch_score=dev.score(task_type, reference, self.split, self.metric),
        )

    def _full_row_difference(self, model: RowModel, tokens: TokenizedSplit) -> float:
        batch = tokens.batch(np.arange(1))
        return _largest(model(batch), self._torch(batch))

    def _same_answer(self, outputs: np.ndarray) -> float:
        texts = [row[0] for row in self.dev.texts]
        ours, theirs = (self.saved.task_type.prediction_records(values, texts) for values in (outputs, self._reference))
        same = [a["prediction"] == b["prediction"] for a, b in zip(ours, theirs, strict=True)]
        return float(np.mean(same))


def _largest(values: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(values - reference).max())
