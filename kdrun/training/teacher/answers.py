"""Target texts, cached teacher answers and on-the-fly teacher logits for text answers.

Of every token of every answer the teacher's logits are too many to keep (a vocabulary each), so they are computed as a
batch is made. Where nobody labelled the rows, what the teacher writes of them, greedily, takes the place of the labels;
that is decoded once and kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from torch import Tensor

from kdrun.data.target_sequences import TargetSequences, tokenize_targets
from kdrun.data.tokenization import TokenizedSplit
from kdrun.models.bundle import ModelBundle
from kdrun.storage import cache
from kdrun.tasks.evaluator import Evaluator

log = logging.getLogger(__name__)

FILE = "answers.json"


def target_sequences(texts: Sequence[str], built: ModelBundle, limit: int, *, gold: bool) -> TargetSequences:
    """Texts as a model is to write them.

    Args:
        texts: one a row.
        built: whose tokenizer spells them, and whose decoder begins.
        limit: `task.answer_tokens`.
        gold: whether they are the task's labels.
    """
    config: Any = built.model.config
    return TargetSequences(tokenize_targets(texts, built.tokenizer), config.decoder_start_token_id, limit, gold)


def teacher_forward(model: torch.nn.Module, accelerator: Accelerator) -> Callable[[dict[str, Tensor]], Tensor]:
    """A teacher that scores batches as they are made.

    Returns:
        From its inputs, of which `decoder_input_ids` [batch, answer length] are the answers to be written, to its
        logits at each token of these, without a gradient, NaN behind an answer's end: [batch, answer length,
        vocabulary].
    """

    def score(inputs: dict[str, Tensor]) -> Tensor:
        with torch.no_grad(), accelerator.autocast():
            return model(**inputs).logits

    return score


def cached_answers(built: ModelBundle, tokens: TokenizedSplit, evaluator: Evaluator) -> list[str]:
    """What the teacher writes of rows, decoded once per (teacher, rows) and read back.

    Args:
        built: the teacher.
        tokens: of the rows.
        evaluator: decodes.
    """
    limit = evaluator.task.answer_tokens
    key = {
        "format": 1,
        "teacher": built.fingerprint,
        "tokens": tokens.fingerprint,
        "limit": limit,
        "precision": evaluator.predictor.accelerator.mixed_precision,
        "device": evaluator.predictor.accelerator.device.type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }

    def build(folder: Path) -> None:
        log.info("the teacher answers the %d training rows of the student, once", tokens.num_rows)
        texts = [written.text for written in evaluator.outputs(built, tokens)]
        (folder / FILE).write_text(json.dumps(texts), encoding="utf-8")

    return cache.fetch("answers", key, build, lambda folder: json.loads((folder / FILE).read_text("utf-8")))[0]
