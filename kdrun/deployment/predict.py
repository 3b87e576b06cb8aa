"""Answer texts, or the rows of a file in constant memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from kdrun import progress
from kdrun.config.precision import resolved
from kdrun.config.runtime import Device, Precision
from kdrun.data.tokenization import TokenizedSplit
from kdrun.deployment.answer_writer import open_writer
from kdrun.deployment.chunk import Chunk
from kdrun.deployment.file_job import FileJob
from kdrun.deployment.saved_model import SavedModel
from kdrun.errors import DataError
from kdrun.tasks.answers import Answers
from kdrun.tasks.base import TaskType
from kdrun.tasks.predictor import Predictor
from kdrun.training.accelerator import check_device, new_accelerator


class RowPredictor(ABC):
    """Answers texts.

    Attributes:
        task_type: turns outputs into answers.
    """

    def __init__(self, task_type: TaskType) -> None:
        self.task_type = task_type

    @abstractmethod
    def tokenize(self, texts: Sequence[Sequence[str]]) -> TokenizedSplit:
        """The tokens of rows of one or two texts, a column per text."""

    @abstractmethod
    def outputs(self, tokens: TokenizedSplit) -> np.ndarray:
        """Outputs of the model in row order, as of `TaskType.outputs`.

        Raises:
            TrainingError: an output is not finite.
        """

    def answers(self, texts: Sequence[Sequence[str]]) -> Answers:
        """The answers on rows of one or two texts, in their order.

        Args:
            texts: a column per text, [rows] each.

        Raises:
            TrainingError: an output of the model is not finite.
        """
        if not len(texts[0]):
            return self.task_type.answers(np.empty((0, self.task_type.task.num_outputs), np.float32), [])
        return self.task_type.answers(self.outputs(self.tokenize(texts)), texts[0])


class SavedPredictor(RowPredictor):
    """Answers texts with a saved student.

    Args:
        saved: the student; moved to the device.
        batch_size: rows per batch.
        device: device to run on.
        precision: arithmetic; None for that of the run, and fp32 without a run.

    Raises:
        ConfigError: `device=cuda` without a GPU.
    """

    def __init__(self, saved: SavedModel, batch_size: int, device: Device, precision: Precision | None) -> None:
        super().__init__(saved.task_type)
        check_device(device, "device")
        if precision is None:
            precision = Precision(saved.run.precision) if saved.run else Precision.fp32
        accelerator = new_accelerator(device, resolved(precision, device))
        saved.model.to(accelerator.device)
        self._saved, self._predictor = saved, Predictor(accelerator, batch_size)

    def tokenize(self, texts: Sequence[Sequence[str]]) -> TokenizedSplit:
        """The tokens of rows as the run tokenized them."""
        return self._saved.tokenize_columns(texts)

    def outputs(self, tokens: TokenizedSplit) -> np.ndarray:
        """Logits, or generated answers, in row order."""
        return self.task_type.outputs(self._predictor, self._saved.bundle, tokens, None)


def predict_file(predictor: RowPredictor, job: FileJob) -> tuple[int, int]:
    """Predict the rows of a file in order, in chunks, so that memory does not grow with the file.

    Args:
        predictor: the student.
        job: input and output.

    Returns:
        Number of rows, and of rows without an answer.

    Raises:
        DataError: a row has no text, or the file is damaged; names rows. No output file is written.
    """
    num_rows, num_bad = 0, 0
    with (
        open_writer(job.output, job.output_format, job.stream.types) as writer,
        progress.track(f"predicting {job.stream.origin}", job.stream.num_rows) as activity,
    ):
        for chunk in job.chunks:
            rows = chunk.rows if job.columns is None else chunk.rows.select(job.columns)
            answers = predictor.answers(chunk.texts).with_gaps(chunk.bad, predictor.task_type.empty_values)
            _check_keys(rows, answers, job.stream.origin)
            writer.write(rows, answers)
            num_rows, num_bad = num_rows + rows.num_rows, num_bad + len(chunk.bad)
            activity.update(num_rows)
    return num_rows, num_bad


def _check_keys(rows: Chunk, answers: Answers, origin: str) -> None:
    """Check that no row has a key of an answer.

    Raises:
        DataError: one has.
    """
    keys = set(rows.columns) if rows.objects is None else set[str]().union(*rows.objects)
    if taken := keys.intersection(answers.names):
        raise DataError(f"{origin} has a row with the key {min(taken)!r}, as the answers do; choose keys with columns=")
