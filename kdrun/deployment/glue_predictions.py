"""Predict the test rows of a GLUE task with a saved student."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from kdrun import progress
from kdrun.deployment.glue_submission import Sheet, class_answers, score_answers
from kdrun.deployment.saved_model import SavedModel
from kdrun.tasks.predictor import Predictor

CHUNK_ROWS = 8192
"""Rows tokenized at a time."""
BATCH_SIZE = 64


def answers(sheet: Sheet, saved: SavedModel, texts: Sequence[tuple[str, ...]]) -> list[str]:
    """The predictions of one file, in the order of its rows.

    Args:
        sheet: the file.
        saved: the student of its task.
        texts: of the test rows, in the file's order.

    Raises:
        DataError: the student has other classes than the file.
        TrainingError: a logit is not finite.
    """
    predictor = Predictor(_accelerator(saved), BATCH_SIZE)
    saved.model.to(predictor.accelerator.device)
    outputs = []
    with progress.track(f"predicting {sheet.name}"):
        for start in range(0, len(texts), CHUNK_ROWS):
            tokens = saved.tokenize(texts[start : start + CHUNK_ROWS])
            outputs.append(saved.task_type.outputs(predictor, saved.bundle, tokens, None))
    logits = np.concatenate(outputs)
    if saved.task.is_regression:
        return score_answers(logits[:, 0])
    return class_answers(sheet, saved.labels, logits.argmax(axis=-1))


def _accelerator(saved: SavedModel) -> Accelerator:
    """The best device, in the arithmetic of the run's evaluation."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    precision = saved.run.precision if saved.run else "fp32"
    return Accelerator(mixed_precision="bf16" if precision == "bf16" else "no")
