"""Strings of special tokens in texts: counting them, and reading them as plain text."""

from __future__ import annotations

import copy
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from kdrun.data import special_tokens
from kdrun.data.special_tokens import rows_with_strings, special_strings, special_token_note, split_special_tokens
from kdrun.data.splits import Split, make_split
from kdrun.data.target_sequences import tokenize_targets
from kdrun.data.tokenization import TextTokenizer, tokenize, tokenizer_fingerprint

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>", "<extra_id_0>", "a", "b", "[", "]", "SEP", "MASK"]
CLS, SEP, MASK, END, A, B, OPEN, CLOSE = (ENTRIES.index(e) for e in ("[CLS]", "[SEP]", "[MASK]", "</s>", *"ab[]"))
TEXTS = ["a [SEP] b", "a b", "a[MASK]", "[sep] SEP ] a"]


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))


def build() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(ENTRIES)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[attr-defined]
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[attr-defined]
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        eos_token="</s>",
        additional_special_tokens=["<extra_id_0>"],
        model_input_names=["input_ids", "attention_mask"],
    )


def rows(texts: list[str], second: list[str] | None = None) -> Split:
    columns = [pa.array(texts)] + ([pa.array(second)] if second else [])
    return make_split("train", columns, pa.array([0] * len(texts)), "TEST/train.tsv")


def split_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = build()
    split_special_tokens(tokenizer)
    return tokenizer


def test_strings_of_all_special_tokens() -> None:
    assert set(special_strings(build())) == set(ENTRIES[:7])


def test_counted_rows_are_those_in_which_the_tokenizer_finds_special_tokens() -> None:
    tokenizer = build()
    texts = [*TEXTS, "", "</s", "b </s>", "<extra_id_0>a", "[[SEP]", "[MASK", "<extra_id_1>"]
    tokens, special = tokenize(rows(texts), tokenizer, 32), set(tokenizer.all_special_ids) - {1}
    expected = [i for i in range(len(texts)) if special & set(tokens.ids(i)[1:-1].tolist())]
    assert rows_with_strings(rows(texts), special_strings(tokenizer)).tolist() == expected == [0, 2, 6, 7, 8]


def test_both_texts_of_a_pair_and_many_strings_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = rows(["a", "</s> [SEP]", "b", "b"], ["<extra_id_0>", "[SEP]", "b", "[PAD]"])
    monkeypatch.setattr(special_tokens, "MAX_ALTERNATIVES", 2)
    assert rows_with_strings(pairs, special_strings(build())).tolist() == [0, 1, 3]


def test_kept_strings_are_special_tokens_and_split_ones_are_text() -> None:
    for tokenizer, content in ((build(), [A, SEP, B]), (split_tokenizer(), [A, OPEN, 11, CLOSE, B])):
        assert tokenize(rows(TEXTS), tokenizer, 32).ids(0).tolist() == [CLS, *content, SEP]
        assert TextTokenizer(tokenizer, 32).batch([("a [SEP] b",)])["input_ids"].tolist() == [[CLS, *content, SEP]]
        assert tokenize_targets(["a [SEP] b"], tokenizer).ids(0).tolist() == [CLS, *content, SEP]


def test_a_prompt_has_its_special_tokens_also_in_front_of_split_texts() -> None:
    for tokenizer, content in ((build(), [A, MASK]), (split_tokenizer(), [A, OPEN, 12, CLOSE])):
        tokens = tokenize(rows(TEXTS), tokenizer, 32, ["b [MASK]"])
        assert tokens.ids(2).tolist() == [B, MASK, *content, END]
        assert tokenize(rows(TEXTS[2:3]), tokenizer, 4, ["b [MASK]"]).ids(0).tolist() == [B, MASK, A, END]


def test_only_splitting_changes_the_cache_key() -> None:
    assert tokenizer_fingerprint(split_tokenizer()) != tokenizer_fingerprint(build())
    tokenizer = split_tokenizer()
    assert tokenizer_fingerprint(copy.deepcopy(tokenizer)) == tokenizer_fingerprint(tokenizer)
    tokenizer("a")
    assert tokenizer_fingerprint(copy.deepcopy(tokenizer)) == tokenizer_fingerprint(tokenizer)


def test_a_saved_tokenizer_reads_texts_as_the_run_did(tmp_path: Path) -> None:
    tokenizer = split_tokenizer()
    tokenizer.save_pretrained(tmp_path / "student")
    saved = AutoTokenizer.from_pretrained(tmp_path / "student")
    for text in TEXTS:
        expected = tokenize(rows([text]), tokenizer, 32).ids(0).tolist()
        assert saved(text)["input_ids"] == expected
        assert tokenize(rows([text]), copy.deepcopy(saved), 32).ids(0).tolist() == expected


def test_the_note_counts_rows_and_names_the_most_frequent_strings() -> None:
    splits = {"dev": rows(["a b"]), "train": rows([*TEXTS, "[SEP] [PAD] </s> <extra_id_0>", "[SEP] </s>"])}
    note = special_token_note("student", splits, build())
    assert note is not None
    assert "4 of 6 train rows" in note
    assert "([SEP], </s>, " in note
    assert "2 more)" in note
    assert "student" in note
    assert "dev" not in note
    assert "data.special_tokens=split reads" in note
    split_note = special_token_note("student", splits, split_tokenizer())
    assert split_note is not None
    assert split_note.endswith("read as plain text (data.special_tokens=split)")
    assert special_token_note("student", {"dev": splits["dev"]}, build()) is None
