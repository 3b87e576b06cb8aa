"""Cache the teacher's logits on the training rows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from kdrun.data.tokenization import TokenizedSplit
from kdrun.models.bundle import ModelBundle
from kdrun.storage import cache
from kdrun.training.teacher.finetune import TeacherEvaluation

NAMESPACE = "logits"
log = logging.getLogger(__name__)


def cached_logits(bundle: ModelBundle, tokens: TokenizedSplit, teacher_evaluation: TeacherEvaluation) -> np.ndarray:
    """The teacher's logits on unmodified text, computed once per (teacher, rows) and memory-mapped.

    Returns:
        [rows, outputs], float32, in row order.
    """
    key = _key(bundle, tokens, teacher_evaluation)

    def build(folder: Path) -> None:
        log.info("the teacher scores %d rows, once", tokens.num_rows)
        np.save(
            folder / "logits.npy",
            teacher_evaluation.evaluator.predictor.logits(
                bundle.model, tokens, teacher_evaluation.config.task.num_outputs
            ),
        )

    def read(folder: Path) -> np.ndarray:
        return np.load(folder / "logits.npy", mmap_mode="r")

    return cache.fetch(NAMESPACE, key, build, read, together=True)[0]


def is_cached(bundle: ModelBundle, tokens: TokenizedSplit, teacher_evaluation: TeacherEvaluation) -> bool:
    """Whether the cache has the teacher's logits on these rows."""
    return cache.contains(NAMESPACE, _key(bundle, tokens, teacher_evaluation))


def _key(bundle: ModelBundle, tokens: TokenizedSplit, teacher_evaluation: TeacherEvaluation) -> dict[str, Any]:
    precision = teacher_evaluation.config.runtime.precision.value
    key = {"format": 1, "teacher": bundle.fingerprint, "tokens": tokens.fingerprint, "precision": precision}
    return key | {"device": teacher_evaluation.accelerator.device.type}
