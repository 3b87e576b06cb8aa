"""Tokenization: batches, padding, cache, truncation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from kdrun.data import disk_table, token_columns, tokenization
from kdrun.data.splits import Split, make_split
from kdrun.data.tokenization import tokenize, tokenizer_fingerprint
from kdrun.data.truncation import truncation_note
from kdrun.errors import ModelError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "##x"]
TYPED = ["input_ids", "token_type_ids", "attention_mask"]


def build(words: list[str] = WORDS, inputs: list[str] = TYPED, **options: Any) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[attr-defined]
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[attr-defined]
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))],
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **(names | options))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path))


def split(texts: list[str], second: list[str] | None = None) -> Split:
    columns = [pa.array(texts)] + ([pa.array(second)] if second else [])
    return make_split("train", columns, pa.array([0] * len(texts)), "TEST/train.tsv")


PAIRS = split(["a b", "c", "a b c d a b c d", ""], ["d", "a ax", "b", "a"])


def test_single_texts_by_hand():
    table = tokenize(split(["a b", "cx zz"]), build(), 16)
    assert table.num_rows == 2
    assert table.ids(0).tolist() == [2, 4, 5, 3]
    assert table.ids(1).tolist() == [2, 6, 8, 1, 3]
    assert table.lengths.tolist() == [4, 5]


def test_batch_pads_on_the_right_to_its_longest_row():
    table = tokenize(split(["a", "a b", "a b c d"]), build(), 16)
    batch = table.batch(np.array([1, 0]))
    assert batch["input_ids"].tolist() == [[2, 4, 5, 3], [2, 4, 3, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["token_type_ids"].tolist() == [[0] * 4] * 2
    assert all(value.dtype == torch.int64 for value in batch.values())
    assert table.batch(np.array([0]), multiple=8)["input_ids"].shape == (1, 8)


def test_pad_id_is_the_tokenizers():
    words = ["[CLS]", "[UNK]", "a", "[SEP]", "b", "[PAD]"]
    batch = tokenize(split(["a", "a b"]), build(words), 16).batch(np.array([0, 1]))
    assert batch["input_ids"].tolist() == [[0, 2, 3, 5], [0, 2, 4, 3]]


@pytest.mark.parametrize("max_length", [5, 7, 32])
@pytest.mark.parametrize("options", [{}, {"truncation_side": "left"}])
@pytest.mark.parametrize("rows", [PAIRS, split(["a b c d a b c d", "a", "[SEP] b"])], ids=["pair", "single"])
def test_batches_equal_those_of_transformers(rows: Split, options: dict[str, Any], max_length: int):
    tokenizer = build(**options)
    columns = [rows.table.column(name).to_pylist() for name in rows.table.column_names[:-1]]
    expected = tokenizer(*columns, truncation=True, max_length=max_length, padding="longest", return_tensors="pt")
    actual = tokenize(rows, tokenizer, max_length).batch(np.arange(rows.num_rows))
    assert actual.keys() == expected.keys()
    for name in actual:
        assert torch.equal(actual[name], expected[name]), name


def test_type_ids_are_absent_if_the_tokenizer_has_none():
    table = tokenize(PAIRS, build(inputs=["input_ids", "attention_mask"]), 16)
    assert table.batch(np.array([0])).keys() == {"input_ids", "attention_mask"}


def test_chunk_size_does_not_change_tokens(monkeypatch: pytest.MonkeyPatch):
    one_chunk = tokenize(PAIRS, build(), 16)
    monkeypatch.setattr(tokenization, "CHUNK_ROWS", 3)
    monkeypatch.setattr(tokenization, "FORMAT", tokenization.FORMAT + 1)
    chunks = tokenize(PAIRS, build(), 16)
    assert one_chunk.fingerprint != chunks.fingerprint
    rows = np.arange(PAIRS.num_rows)
    assert all(torch.equal(one_chunk.batch(rows)[name], chunks.batch(rows)[name]) for name in TYPED)


def test_the_second_time_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch):
    first = tokenize(PAIRS, build(), 16)
    monkeypatch.delattr(disk_table, "write_batch")
    again = tokenize(PAIRS, build(), 16)
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.batch(np.arange(4))["input_ids"], first.batch(np.arange(4))["input_ids"])


def test_batches_are_copies_and_the_buffers_read_only():
    table = tokenize(PAIRS, build(), 16)
    table.batch(np.array([0]))["input_ids"].zero_()
    assert table.ids(0).tolist() == [2, 4, 5, 3, 7, 3]
    assert not table.ids(0).flags.writeable


def test_use_changes_neither_fingerprint_nor_tokenizer():
    tokenizer = build()
    before = tokenizer_fingerprint(tokenizer)
    tokenize(PAIRS, tokenizer, 5)
    assert tokenizer.backend_tokenizer.truncation is None
    assert tokenizer.backend_tokenizer.padding is None
    tokenizer("a b", truncation=True, max_length=3, padding="max_length")
    assert tokenizer_fingerprint(tokenizer) == before == tokenizer_fingerprint(build())


@pytest.mark.parametrize(
    "other",
    [build([*WORDS, "e"]), build(inputs=["input_ids"]), build(truncation_side="left")],
    ids=["words", "inputs", "side"],
)
def test_fingerprint_changes_with_what_decides_ids(other: PreTrainedTokenizerFast):
    assert tokenizer_fingerprint(other) != tokenizer_fingerprint(build())


def test_a_changed_split_or_limit_has_its_own_entry():
    base = tokenize(split(["a"]), build(), 16).fingerprint
    assert tokenize(split(["b"]), build(), 16).fingerprint != base
    assert tokenize(split(["a"]), build(), 15).fingerprint != base


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        tokenize(PAIRS, build(), 16).batch(np.array([], np.int64))


def test_unfit_tokenizers_are_refused():
    with pytest.raises(ModelError, match="no padding token"):
        tokenize(PAIRS, build(pad_token=None), 16)
    with pytest.raises(ModelError, match="not a fast tokenizer"):
        tokenizer_fingerprint(object())


def test_prompts_by_hand():
    tokenizer = build(eos_token="[SEP]")
    table = tokenize(PAIRS, tokenizer, 16, ["ax", "c:"])
    batch = table.batch(np.array([1, 3]))
    # prompts `a ##x` and `c [UNK]`; texts `c` and `a a ##x`, then none and `a`
    assert batch["input_ids"].tolist() == [[4, 8, 6, 6, 1, 4, 4, 8, 3], [4, 8, 6, 1, 4, 3, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 9, [1] * 6 + [0] * 3]
    assert batch["prompt_mask"].tolist() == [[1, 1, 0, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0, 0]]
    assert "token_type_ids" not in batch
    assert "prompt_mask" not in tokenize(PAIRS, tokenizer, 16).batch(np.array([0]))
    assert table.fingerprint != tokenize(PAIRS, tokenizer, 16, ["ax", "c"]).fingerprint


@pytest.mark.parametrize("room", range(2, 11))
def test_texts_are_cut_as_without_prompts_and_prompts_never(room: int):
    """What stays of both texts is what the tokenizer's own longest-first truncation leaves in as much room."""
    tokenizer = build(eos_token="[SEP]")
    table = tokenize(PAIRS, tokenizer, room + 3, ["d", "d"])
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.enable_truncation(room, strategy="longest_first")
    texts = zip(PAIRS.table.column("text").to_pylist(), PAIRS.table.column("text_pair").to_pylist(), strict=True)
    for row, (first, second) in enumerate(texts):
        encoding = plain.encode(first, second, add_special_tokens=False)
        expected = [[i for i, t in zip(encoding.ids, encoding.type_ids, strict=True) if t == side] for side in (0, 1)]
        assert table.ids(row).tolist() == [7, *expected[0], 7, *expected[1], 3]


def test_prompts_that_leave_no_room_or_do_not_fit_are_refused():
    tokenizer = build(eos_token="[SEP]")
    with pytest.raises(
        ModelError, match=r"the prompts a b … c and the end of text take 4 tokens, and data.max_length=5"
    ):
        tokenize(PAIRS, tokenizer, 5, ["a b", "c"])
    with pytest.raises(ModelError, match=r"1 prompts \(a\) for rows of 2 texts"):
        tokenize(PAIRS, tokenizer, 16, ["a"])
    with pytest.raises(ModelError, match="this one has no eos token"):
        tokenize(PAIRS, build(), 16, ["a", "b"])


def test_offsets_do_not_wrap_beyond_two_to_the_31_tokens() -> None:
    lengths = np.array([2**30, 2**30, 2**30, 7], np.int32)
    offsets = token_columns.row_offsets(lengths)
    assert offsets.tolist() == [0, 2**30, 2**31, 3 * 2**30, 3 * 2**30 + 7]
    assert pa.array(offsets).type == pa.int64()


@pytest.mark.parametrize("array", [pa.ListArray, pa.LargeListArray])
def test_files_with_offsets_of_either_width_are_read(array: type[pa.ListArray]) -> None:
    offsets = pa.array([0, 2, 5], pa.int32() if array is pa.ListArray else pa.int64())
    table = pa.table({tokenization.IDS: array.from_arrays(offsets, pa.array([1, 2, 3, 4, 5], pa.int32()))})
    split = tokenization.TokenizedSplit(table, 0, 0, "x")
    assert split.batch(np.array([1, 0]))[tokenization.IDS].tolist() == [[3, 4, 5], [1, 2, 0]]


@pytest.mark.parametrize("side", ["right", "left"])
def test_rows_that_the_limit_cuts_are_counted_once_and_kept_in_the_cache(side: str) -> None:
    rows = split(["a b c d", "a b", "a b c", "d"])
    tokenizer = build(truncation_side=side)
    for _ in range(2):  # written, then read
        assert tokenize(rows, tokenizer, 5).num_truncated == 1
        assert tokenize(rows, tokenizer, 4).num_truncated == 2
        assert tokenize(rows, tokenizer, 6).num_truncated == 0
    assert tokenize(PAIRS, tokenizer, 7).num_truncated == 1


def test_rows_with_prompts_are_counted_too() -> None:
    tokenizer = build(eos_token="[SEP]")
    rows = split(["a b c d", "a b"])
    assert tokenize(rows, tokenizer, 5, ("a",)).num_truncated == 1
    assert tokenize(rows, tokenizer, 6, ("a",)).num_truncated == 0


def test_an_older_cache_entry_has_no_count() -> None:
    table = pa.table({"input_ids": pa.array([[1, 2]], pa.list_(pa.int32()))})
    assert tokenization.TokenizedSplit(table, 0, 0, "").num_truncated is None


def test_the_note_on_cut_rows_names_the_limit_and_the_counts() -> None:
    rows = split(["a b c d", "a b"])
    tokens = {"train": tokenize(rows, build(), 5), "dev": tokenize(rows, build(), 9)}
    note = truncation_note("student", tokens, 5)
    assert note is not None
    assert "data.max_length=5" in note
    assert "1 of 2 train rows" in note
    assert "dev" not in note
    assert truncation_note("student", {"dev": tokens["dev"]}, 9) is None
