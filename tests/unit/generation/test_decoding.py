"""Decoding of answers: candidates, random tokens, rows that do not depend on each other."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import TopPLogitsWarper

from kdrun.generation.decoding import greedy_decode, nucleus, sample_decode
from tests.helpers.tiny_t5 import END, rows, t5


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1.0])
def test_candidates_are_those_of_transformers(top_p: float) -> None:
    logits = torch.randn(6, 40, generator=torch.Generator().manual_seed(3)) * 3
    warper: Any = TopPLogitsWarper(top_p) if top_p < 1 else lambda _, values: values
    expected = warper(torch.zeros(6, 1, dtype=torch.long), logits)
    assert torch.equal(nucleus(logits, top_p), expected)


def test_the_most_probable_token_is_always_a_candidate() -> None:
    assert nucleus(torch.tensor([[0.0, 9.0, 1.0]]), 1e-6).isfinite().tolist() == [[False, True, False]]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 0.9)])
def test_first_tokens_have_the_frequencies_of_their_probabilities(temperature: float, top_p: float) -> None:
    """Evenly spaced uniform numbers, so that each count is the share of the token up to one row."""
    model, count = t5(seed=5), 2000
    inputs = {name: values[:1].expand(count, -1) for name, values in rows().items()}
    ids, _ = sample_decode(model, inputs, _spaced(count), temperature, top_p)
    start = torch.full((1, 1), model.config.decoder_start_token_id)
    with torch.no_grad():
        logits = model(**rows(), decoder_input_ids=start.expand(2, 1)).logits[0, -1]
    probabilities = (logits / temperature).softmax(dim=-1)
    is_candidate = nucleus(logits[None] / temperature, top_p)[0].isfinite()
    expected = count * probabilities * is_candidate / probabilities[is_candidate].sum()
    counts = torch.bincount(ids[:, 0], minlength=len(expected))
    assert float((counts - expected).abs().max()) < 1.5
    assert int((counts > 0).sum()) > 2


def _spaced(count: int) -> np.ndarray:
    return ((np.arange(count, dtype=np.float32) + 0.5) / count)[:, None]


def test_sampled_answers_of_a_batch_are_those_of_single_rows() -> None:
    model, inputs = t5(seed=22), rows()
    numbers = np.random.default_rng(1).random((2, 12), np.float32)
    ids, ended = sample_decode(model, inputs, numbers, 1.0, 0.95)
    assert not torch.equal(ids, greedy_decode(model, inputs, 12)[0])
    for row in range(2):
        length = int(inputs["attention_mask"][row].sum())
        single: dict[str, Any] = {name: values[row : row + 1, :length] for name, values in inputs.items()}
        alone, alone_ended = sample_decode(model, single, numbers[row : row + 1], 1.0, 0.95)
        assert torch.equal(alone[0], ids[row, : alone.shape[1]])
        assert bool((ids[row, alone.shape[1] :] == model.config.pad_token_id).all())
        assert bool(alone_ended) == bool(ended[row]) == (END in alone[0].tolist())
