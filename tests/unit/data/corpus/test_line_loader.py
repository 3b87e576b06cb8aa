"""Batches of corpus lines."""

import shutil
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import torch

from kdrun.data.corpus import line_ranges, line_tokens
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.line_loader import LineLoader
from kdrun.data.corpus.line_tokens import LineTokens, tokenize_lines
from kdrun.errors import ModelError
from kdrun.storage.hashing import digest
from tests.helpers.tiny_models import build_context, make, scratch_config

TOKENIZER = make(scratch_config(), build_context()).tokenizer


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))


def corpus_of(lines: list[str]) -> Corpus:
    return Corpus("lines", True, lambda: iter(lines), lambda: digest(lines))


def loader(lines: list[str], max_length: int = 24) -> LineLoader:
    return LineLoader(tokenize_lines(corpus_of(lines), TOKENIZER, 1000, max_length), TOKENIZER, "x")


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
    assert len(tokenize_lines(corpus, TOKENIZER, 48, 24).lengths) == 48
    assert next(numbers) == 48
    assert list(islice(corpus.lines(), 1)) == ["the cat sees 49"]


LINES = ["the cat", "\u200d", "the dog sees the cat " * 9, "[SEP]", "a", "", "the horse and [MASK]", "\u0301"] * 3


@pytest.mark.parametrize(("size", "processes"), [(1, 1), (40, 1), (1 << 20, 1), (40, 2)])
@pytest.mark.parametrize("split", [False, True])
def test_rows_are_those_of_the_tokenizer(
    size: int, processes: int, split: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_ranges, "RANGE_BYTES", size)
    monkeypatch.setattr(line_tokens, "CHUNK_LINES", 2)
    monkeypatch.setattr(TOKENIZER, "split_special_tokens", split)
    rows = [row for row in TOKENIZER(LINES, truncation=True, max_length=24)["input_ids"] if len(row) > 2]
    tokens = tokenize_lines(corpus_of(LINES), TOKENIZER, 1000, 24, processes)
    assert [tokens.row(i).tolist() for i in range(len(tokens.lengths))] == rows
    assert tokens.lengths.tolist() == [len(row) for row in rows]
    assert (len(rows), max(map(len, rows))) == (15, 24)


def test_tokens_are_cached_and_mapped_with_64_bit_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = loader(LINES).tokens
    monkeypatch.setattr(line_tokens, "write_tokens", None)
    second = loader(LINES).tokens
    assert np.array_equal(first.row(14), second.row(14))
    folder = next((tmp_path / "cache" / "corpus_tokens").glob("*/*.arrow")).parent
    tokens = LineTokens(folder)
    shutil.rmtree(folder)
    assert tokens.row(14).tolist() == first.row(14).tolist()
    assert (tokens._offsets[0].dtype, tokens._ids[0].dtype) == (np.int64, np.int32)
    assert not tokens._ids[0].flags.owndata


def test_a_corpus_without_words_is_refused() -> None:
    with pytest.raises(ModelError, match=r"lines has no words .*corpus\.dir=PATH"):
        loader(["\u200d", "\u0301"])
