"""Training of tokenizers on a corpus."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from kdrun.config.architectures import Architecture
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.tokenization import tokenizer_fingerprint
from kdrun.errors import ModelError
from kdrun.models import saving, tokenizer_training, tokenizers
from kdrun.models.bundle import BuildContext
from kdrun.models.tokenizers import special_ids
from tests.helpers.paths import ROOT
from tests.helpers.tiny_models import FAMILIES, corpus_lines, make, scratch_config, tiny_corpus

Context = Callable[..., BuildContext]
TRAIN = """
import json, sys
from kdrun.models import tokenizer_training as vocabulary
from kdrun.data.corpus.corpora import Corpus
lines = json.loads(sys.stdin.read())
corpus = Corpus("lines", True, lambda: iter(lines), lambda: "f" * 64)
for name in ("wordpiece", "bpe"):
    print(json.dumps(vocabulary.train(corpus, name, 320).to_str()))
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_and_their_places(family: Architecture, corpus: Corpus) -> None:
    tokenizer = tokenizer_training.from_corpus(family, corpus, 400, 64, "student")
    single, pair = tokenizer("the cat")["input_ids"], tokenizer("the cat", "the dog")
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert (single[0], single[-1]) == (cls, sep)
    assert pair["input_ids"].count(sep) == (3 if family is Architecture.roberta else 2)
    assert tokenizer.pad_token_id == (1 if family is Architecture.roberta else 0)
    assert tokenizer.mask_token == ("<mask>" if family is Architecture.roberta else "[MASK]")
    assert ("token_type_ids" in pair) == (family is Architecture.bert)
    if family is Architecture.bert:
        assert pair["token_type_ids"][-1] == 1
        assert sum(pair["token_type_ids"]) == len(tokenizer("the dog")["input_ids"]) - 1


def test_frequent_words_are_entries_and_unseen_ascii_is_spelled(corpus: Corpus) -> None:
    tokenizer = tokenizer_training.from_corpus(Architecture.bert, corpus, 400, 64, "student")
    assert tokenizer.tokenize("The MOUNTAIN's garden") == ["the", "mountain", "'", "s", "garden"]
    pieces = tokenizer.tokenize("zyzzyva #42!")
    assert tokenizer.unk_token not in pieces
    assert "".join(pieces).replace("##", "") == "zyzzyva#42!"
    assert all(piece.startswith("##") for piece in pieces[1:6])
    assert tokenizer.tokenize("漢") == [tokenizer.unk_token]


def test_byte_level_bpe_represents_any_text(corpus: Corpus) -> None:
    tokenizer = tokenizer_training.from_corpus(Architecture.roberta, corpus, 400, 64, "student")
    text = " Größe 漢字 🙂"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_ids_have_no_gap_and_entries_are_limited(corpus: Corpus) -> None:
    for family, size in ((Architecture.bert, 200), (Architecture.roberta, 300)):
        vocab = tokenizer_training.from_corpus(family, corpus, size, 64, "student").get_vocab()
        assert len(vocab) <= size
        assert sorted(vocab.values()) == list(range(len(vocab)))


def test_training_is_the_same_in_every_process() -> None:
    lines = list(corpus_lines())
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", TRAIN]
    other = subprocess.run(command, env=env, input=json.dumps(lines), capture_output=True, text=True, check=True)
    corpus = tiny_corpus()
    here = [tokenizer_training.train(corpus, name, 320).to_str() for name in ("wordpiece", "bpe")]
    assert [json.loads(line) for line in other.stdout.splitlines()] == here


def test_byte_level_bpe_is_that_of_the_trainer_on_the_text() -> None:
    text = [*corpus_lines(), "It's  a\ttab, don't! \u00a0 x", "größer 漢字 I a b c"] * 3
    corpus = Corpus("lines", True, lambda: iter(text), lambda: "b" * 64)
    reference = Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # type: ignore[assignment]
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), list(tokenizer_training.BYTE_BPE.values())
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special)
    reference.train_from_iterator(text, trainer)
    entries = json.loads(tokenizer_training.train(corpus, "bpe", 400).to_str())["model"]
    assert entries == json.loads(reference.to_str())["model"]
    assert len(entries["merges"]) > 50


def test_a_vocabulary_is_trained_once(corpus: Corpus) -> None:
    passes = []

    def lines():
        passes.append(1)
        return corpus_lines()

    counted = Corpus("counted", True, lines, lambda: "a" * 64)
    first = tokenizer_training.from_corpus(Architecture.bert, counted, 250, 64, "student")
    second = tokenizer_training.from_corpus(Architecture.distilbert, counted, 250, 64, "teacher")
    assert len(passes) == 1
    assert tokenizers.same_vocabulary(first, second)


@pytest.mark.parametrize(("family", "least"), [(Architecture.bert, 160), (Architecture.roberta, 300)])
def test_too_small_a_vocabulary_is_refused(family: Architecture, least: int, corpus: Corpus) -> None:
    with pytest.raises(ModelError, match=rf"student\.vocab_size={least - 1} is too small .*vocab_size=2000"):
        tokenizer_training.from_corpus(family, corpus, least - 1, 64, "student")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_tokenizer_loads_unchanged(family: Architecture, context: Context, tmp_path: Path) -> None:
    built = make(scratch_config(family), context())
    saving.save_pretrained(built, None, tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(built.tokenizer)
    assert tokenizers.same_vocabulary(again, built.tokenizer)
    assert again.model_max_length == built.tokenizer.model_max_length
    assert again("the cat", "a dog") == built.tokenizer("the cat", "a dog")


def test_different_vocabularies_are_distinguished(corpus: Corpus) -> None:
    small, large = (tokenizer_training.from_corpus(Architecture.bert, corpus, n, 64, "student") for n in (165, 250))
    assert not tokenizers.same_vocabulary(small, large)


def test_t5_has_berts_words_and_sentinels(corpus: Corpus) -> None:
    bert, t5 = (
        tokenizer_training.from_corpus(a, corpus, 250, 64, "student") for a in (Architecture.bert, Architecture.t5)
    )
    assert tokenizers.same_vocabulary(bert, t5)
    assert tokenizers.sentinel_ids(t5) == list(range(len(bert), len(bert) + 100))
    assert t5.convert_ids_to_tokens(t5("The cat", "a dog")["input_ids"]) == ["the", "cat", "[SEP]", "a", "dog", "[SEP]"]
    assert (t5.pad_token, t5.eos_token, t5.cls_token, t5.mask_token) == ("[PAD]", "[SEP]", None, None)
    assert t5.model_input_names == ["input_ids", "attention_mask"]
    assert special_ids(t5) == [0, 1, 2, 3, 4, *tokenizers.sentinel_ids(t5)]


def test_a_tokenizer_changes_family_and_keeps_the_ids_of_words(corpus: Corpus) -> None:
    bert, t5 = (
        tokenizer_training.from_corpus(a, corpus, 250, 64, "student") for a in (Architecture.bert, Architecture.t5)
    )
    with_sentinels = tokenizer_training.for_family(bert, Architecture.t5, 64, "x")
    assert tokenizer_fingerprint(with_sentinels) == tokenizer_fingerprint(t5)
    assert tokenizer_training.for_family(with_sentinels, Architecture.t5, 64, "x") is with_sentinels
    assert tokenizer_training.for_family(bert, Architecture.bert, 64, "x") is bert
    without_sentinels = tokenizer_training.for_family(t5, Architecture.bert, 64, "x")
    assert without_sentinels("the cat", "a dog") == bert("the cat", "a dog")
    assert without_sentinels.mask_token == "[MASK]"
    roberta = tokenizer_training.from_corpus(Architecture.roberta, corpus, 400, 64, "student")
    of_roberta = tokenizer_training.for_family(roberta, Architecture.t5, 64, "x")
    assert of_roberta("the cat")["input_ids"][-1] == roberta.sep_token_id == of_roberta.eos_token_id
    with pytest.raises(ModelError, match=r"x: .*\[PAD\].*tokenizer=corpus"):
        tokenizer_training.for_family(of_roberta, Architecture.bert, 64, "x")


def test_sentinels_replace_unused_entries(corpus: Corpus) -> None:
    bert = tokenizer_training.from_corpus(Architecture.bert, corpus, 250, 64, "student")
    backend: Any = bert.backend_tokenizer
    state = json.loads(backend.to_str())
    size = len(bert)
    state["model"]["vocab"] |= {f"[unused{i}]": size + i for i in range(101)}
    with_unused = tokenizer_training.wrap(Tokenizer.from_str(json.dumps(state)), Architecture.bert, 64)
    t5 = tokenizer_training.for_family(with_unused, Architecture.t5, 64, "x")
    assert len(t5) == len(with_unused)
    assert tokenizers.sentinel_ids(t5) == list(range(size, size + 100))
    assert tokenizers.same_vocabulary(with_unused, t5)
    assert tokenizers.same_vocabulary(bert, t5)
