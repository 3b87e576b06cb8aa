"""Answer texts, or the rows of a file in constant memory."""

from __future__ import annotations

from collections.abc import Sequence

from kdrun import progress
from kdrun.config.runtime import Device, Precision
from kdrun.deployment.answer_writer import Row, open_writer
from kdrun.deployment.file_job import CheckedChunk, FileJob
from kdrun.deployment.saved_model import SavedModel
from kdrun.errors import DataError
from kdrun.tasks.predictor import Predictor
from kdrun.training.accelerator import check_device, new_accelerator


class SavedPredictor:
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
        check_device(device, "device")
        if precision is None:
            precision = Precision(saved.run.precision) if saved.run else Precision.fp32
        accelerator = new_accelerator(device, precision)
        saved.model.to(accelerator.device)
        self.saved, self._task_type = saved, saved.task_type
        self._predictor = Predictor(accelerator, batch_size)

    def answers(self, texts: Sequence[tuple[str, ...]]) -> list[Row]:
        """The records of `TaskType.prediction_records` of rows of one or two texts, in their order.

        Raises:
            TrainingError: an output of the model is not finite.
        """
        if not texts:
            return []
        tokens = self.saved.tokenize(texts)
        outputs = self._task_type.outputs(self._predictor, self.saved.bundle, tokens, None)
        return self._task_type.prediction_records(outputs, [row[0] for row in texts])


def predict_file(predictor: SavedPredictor, job: FileJob) -> tuple[int, int]:
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
            rows, answers = _answer_chunk(predictor, job, chunk)
            writer.write(rows, answers)
            num_rows, num_bad = num_rows + len(rows), num_bad + len(chunk.bad)
            activity.update(num_rows)
    return num_rows, num_bad


def _answer_chunk(predictor: SavedPredictor, job: FileJob, chunk: CheckedChunk) -> tuple[list[Row], list[Row]]:
    """Input columns and answers of a chunk's rows."""
    answers, empty = iter(predictor.answers(chunk.texts)), predictor.saved.task_type.empty_record()
    rows = chunk.rows if job.columns is None else [{name: row.get(name) for name in job.columns} for row in chunk.rows]
    all_answers = [empty if index in chunk.bad else empty | next(answers) for index in range(len(rows))]
    for row, answer in zip(rows, all_answers, strict=True):
        if taken := row.keys() & answer.keys():
            raise DataError(
                f"{job.stream.origin} has a row with the key {min(taken)!r}, as the answers do; choose keys with "
                "columns="
            )
    return rows, all_answers
