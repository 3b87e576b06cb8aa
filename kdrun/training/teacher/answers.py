"""Target texts, cached teacher answers and on-the-fly teacher logits for text answers.

The teacher's logits at every token of every answer are too large to cache (vocabulary size per token), so they are
computed per batch, unless `teacher.top_k` caches the most likely tokens (`kdrun.training.teacher.top_logits`). For
unlabeled rows the teacher's greedily decoded answers replace the labels; these are cached.
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
from kdrun.models.answer_decoder import AnswerDecoder
from kdrun.models.bundle import ModelBundle
from kdrun.storage import cache, json_reader
from kdrun.tasks.evaluator import Evaluator

log = logging.getLogger(__name__)

FILE = "answers.json"
END_ONLY = ("",)
"""Prompts of the answers of a decoder: none, with which the end token alone is added to a text. Its tokenizer may add a
start token, or no end token."""


def target_sequences(texts: Sequence[str], bundle: ModelBundle, limit: int, *, gold: bool) -> TargetSequences:
    """Tokenized target texts of a model.

    Args:
        texts: one per row.
        bundle: the model; gives the tokenizer and the decoder's start token.
        limit: `task.answer_tokens`.
        gold: whether the texts are the task's labels.
    """
    model: Any = bundle.model
    if isinstance(model, AnswerDecoder):
        tokens = tokenize_targets(texts, bundle.tokenizer, END_ONLY)
        return TargetSequences(tokens, model.answer_start_id, limit, gold)
    return TargetSequences(tokenize_targets(texts, bundle.tokenizer), model.config.decoder_start_token_id, limit, gold)


def truncation_note(targets: TargetSequences) -> str:
    """Number of answers that the limit cuts, for readers of the run."""
    return (
        f"{targets.num_truncated} of {targets.num_rows} answers are longer than task.answer_tokens={targets.limit} and "
        "were truncated"
    )


def teacher_forward(model: torch.nn.Module, accelerator: Accelerator) -> Callable[[dict[str, Tensor]], Tensor]:
    """Forward pass of a teacher, called for each batch while it is created.

    Returns:
        A function from the teacher's inputs to the logits at each answer token, without a gradient, NaN after an
        answer's end: [batch, answer length, vocabulary]. The inputs contain the answers as `decoder_input_ids`
        [batch, answer length].
    """

    def forward(inputs: dict[str, Tensor]) -> Tensor:
        with torch.no_grad(), accelerator.autocast():
            return model(**inputs).logits

    return forward


def cached_answers(bundle: ModelBundle, tokens: TokenizedSplit, evaluator: Evaluator) -> list[str]:
    """The teacher's answers on rows, decoded once per (teacher, rows).

    Args:
        bundle: the teacher.
        tokens: token ids of the rows.
        evaluator: decodes the answers.

    Returns:
        One answer per row.
    """
    limit = evaluator.task.answer_tokens
    key = {
        "format": 1,
        "teacher": bundle.fingerprint,
        "tokens": tokens.fingerprint,
        "limit": limit,
        "precision": evaluator.predictor.accelerator.mixed_precision,
        "device": evaluator.predictor.accelerator.device.type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }

    def build(folder: Path) -> None:
        log.info("the teacher answers the %d training rows of the student, once", tokens.num_rows)
        texts = [answer.text for answer in evaluator.outputs(bundle, tokens)]
        (folder / FILE).write_text(json.dumps(texts), encoding="utf-8")

    return cache.fetch("answers", key, build, _read, together=True)[0]


def _read(folder: Path) -> list[str]:
    texts = json_reader.parse((folder / FILE).read_bytes())
    json_reader.check_shape(texts, [str])
    return texts
