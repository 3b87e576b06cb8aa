"""Span corruption: texts by hand, numbers of tokens and spans, the loss of T5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from kdrun import rng
from kdrun.config.architectures import Architecture
from kdrun.config.model import PretrainConfig
from kdrun.errors import ModelError
from kdrun.models import span_corruption
from kdrun.models.bundle import BuildContext
from tests.helpers.tiny_models import make, scratch_config

Context = Callable[..., BuildContext]
SENTINELS = np.array([90, 91, 92])


@pytest.mark.parametrize(
    ("mask", "source", "target"),
    [
        ([0, 1, 1, 0, 1], [11, 90, 14, 91, 1], [90, 12, 13, 91, 15, 1]),
        ([1, 0, 0, 0, 0], [90, 12, 13, 14, 15, 1], [90, 11, 1]),
        ([1, 1, 1, 1, 1], [90, 1], [90, 11, 12, 13, 14, 15, 1]),
        ([1, 0, 1, 0, 1], [90, 12, 91, 14, 92, 1], [90, 11, 91, 13, 92, 15, 1]),
    ],
)
def test_spans_become_sentinels(mask: list[int], source: list[int], target: list[int]) -> None:
    pair = span_corruption.corrupt(np.arange(11, 16), np.array(mask, bool), SENTINELS, 1)
    assert [part.tolist() for part in pair] == [source, target]


@pytest.mark.parametrize(
    ("length", "rate", "mean", "masked", "spans"),
    [(20, 0.15, 3, 3, 1), (40, 0.3, 3, 12, 4), (1, 0.15, 3, 1, 1), (4, 0.5, 1, 2, 2)],
)
def test_numbers_of_masked_tokens_and_spans(length: int, rate: float, mean: float, masked: int, spans: int) -> None:
    counts = np.zeros(length, int)
    for step in range(200):
        mask = span_corruption.span_mask(length, rate, mean, rng.numpy_stream(1, "mask", "t", step))
        starts = np.diff(np.concatenate([[0], mask.astype(int)])) == 1
        assert (len(mask), mask.sum(), starts.sum()) == (length, masked, spans)
        counts += mask
    assert (counts > 0).all()  # both ends too


def test_no_more_spans_than_sentinels() -> None:
    mask = span_corruption.span_mask(100, 0.5, 1, rng.numpy_stream(1, "mask"), max_spans=7)
    assert (np.diff(np.concatenate([[0], mask.astype(int)])) == 1).sum() == 7


def test_the_loss_equals_t5s_loss_on_the_corrupted_rows(context: Context) -> None:
    built = make(scratch_config(Architecture.t5), context("generator"))
    objective = span_corruption.SpanCorruptionObjective(PretrainConfig(mask_rate=0.3), built.tokenizer, "generator")
    ids = built.tokenizer(["the cat sees the dog", "a horse"], padding=True, return_tensors="pt").input_ids
    with torch.no_grad():
        loss = objective.loss(built.model, ids, 1, "x", 0)
        assert objective.loss(built.model, ids, 1, "x", 0) == loss
        assert objective.loss(built.model, ids, 1, "x", 1) != loss
    stream, total, count = rng.numpy_stream(1, "mask", "x", 0), 0.0, 0
    for row in ids.tolist():
        text = np.array([i for i in row if i not in (0, 3)])
        mask = span_corruption.span_mask(len(text), 0.3, 3.0, stream)
        source, target = (torch.tensor(p)[None] for p in span_corruption.corrupt(text, mask, objective.sentinels, 3))
        with torch.no_grad():
            total += float(built.model(input_ids=source, labels=target).loss) * target.shape[1]
        count += target.shape[1]
    assert loss == (pytest.approx(total, rel=1e-5), count)


def test_pretraining_learns(context: Context) -> None:
    config = scratch_config(Architecture.t5, pretrain=PretrainConfig(steps=60, batch_size=16, max_length=24, lr=5e-3))
    words = make(config, context("generator")).notes[0].split()
    assert float(words[words.index("to") + 1]) < float(words[words.index("loss") + 1]) - 1


def test_a_vocabulary_without_sentinels_is_refused(context: Context) -> None:
    bert = make(scratch_config(), context())
    with pytest.raises(ModelError, match=r"student.pretrain needs a tokenizer with sentinels"):
        span_corruption.SpanCorruptionObjective(PretrainConfig(), bert.tokenizer, "student")
