"""Batches of corpus lines."""

from itertools import count, islice

import numpy as np
import torch

from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.line_loader import LineLoader
from tests.helpers.tiny_models import build_context, make, scratch_config

TOKENIZER = make(scratch_config(), build_context()).tokenizer


def loader(lines: list[str], num_lines: int = 1000, max_length: int = 24) -> LineLoader:
    return LineLoader(
        Corpus("lines", True, lambda: iter(lines), lambda: "e" * 64), TOKENIZER, num_lines, max_length, "x"
    )


def test_an_epoch_has_every_line_once_in_batches_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 58, 1000)
    lines = loader(["a " * length for length in lengths], max_length=64)
    batches = lines.epoch_batches(8, 1, "test", 0)
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert np.mean([np.ptp(lines.lengths[rows]) for rows in batches]) < 5
    other = lines.epoch_batches(8, 1, "test", 1)
    assert not all(np.array_equal(a, b) for a, b in zip(batches, other, strict=True))


def test_batches_are_padded_to_their_longest_line() -> None:
    lines = loader(["the cat", "the cat sees the dog", "the dog sees the cat and the horse"])
    batch = lines.load_batch(np.array([0, 1]), "test", 3)
    ids = batch.inputs["x"]["input_ids"]
    assert ids.shape == (2, lines.lengths[1])
    assert torch.equal(ids.ne(lines.pad).sum(dim=1), torch.tensor(lines.lengths[:2]))
    assert (batch.phase, batch.step, batch.ids.tolist()) == ("test", 3, [0, 1])
    assert lines.rows_seen.tolist() == [True, True, False]


def test_only_the_needed_lines_are_read() -> None:
    numbers = count()
    corpus = Corpus("endless", True, lambda: (f"the cat sees {i}" for i in numbers), lambda: "e" * 64)
    assert LineLoader(corpus, TOKENIZER, 48, 24, "x").num_rows == 48
    assert next(numbers) == 48
    assert list(islice(corpus.lines(), 1)) == ["the cat sees 49"]
