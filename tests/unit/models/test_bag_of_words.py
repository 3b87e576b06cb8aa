"""Bags of words: hashes, weights by hand, padding, pairs, saving, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdrun.config.model import BagOfWordsStudentConfig, TokenizerSource
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.errors import ModelError
from kdrun.models.bag_of_words import BagOfWordsConfig, BagOfWordsForSequenceClassification
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import model_fingerprint
from kdrun.models.tokenizers import special_ids
from tests.helpers.tiny_models import MNLI, STSB, class_names, from_path, make, scratch_config

Context = Callable[..., BuildContext]
SST2 = TaskConfig(name="sst2", text=["sentence"], labels=["negative", "positive"], metrics=["accuracy"])
TAGS = TaskConfig(name="tags", text=["text"], labels=["a", "b", "c"], kind=TaskKind.multi_label, metrics=["micro_f1"])


def bow_config(**more: Any) -> BagOfWordsStudentConfig:
    values = {"buckets": 4096, "tokenizer": TokenizerSource.corpus, "vocab_size": 250, **more}
    return BagOfWordsStudentConfig(name="bow", **values)


def with_random_weights(bundle: ModelBundle) -> ModelBundle:
    linear: Any = bundle.model.classifier
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        linear.weight.normal_(generator=generator)
        linear.bias.normal_(generator=generator)
    return bundle


def logits(bundle: ModelBundle, *rows: Any) -> torch.Tensor:
    texts: Any = [list(column) for column in zip(*rows, strict=True)]
    with torch.no_grad():
        return bundle.model(**bundle.tokenizer(*texts, padding=True, return_tensors="pt")).logits


def hash_by_hand(ids: tuple[int, ...], group: int, buckets: int) -> int:
    """The definition in integers of any size, without overflow."""
    code = 0
    for index in ids:
        code = (code * 1_000_003 + index + 1) % (2**31 - 1)
    return (code + (group + 4 * len(ids)) * 1_000_003) * 1_540_483_477 % (2**31 - 1) % buckets


def test_hashes_are_the_same_on_every_machine() -> None:
    model = BagOfWordsForSequenceClassification(BagOfWordsConfig(vocab_size=200_000, ngrams=3, buckets=2**18))
    ids = torch.tensor([[7, 199_999, 3, 150_000]])
    buckets, values = model._features(ids, torch.ones_like(ids).bool())
    assert buckets[0, [0, 1, 4, 8]].tolist() == [83248, 139055, 2231, 182992]
    assert buckets[0, 8] == hash_by_hand((7, 199_999, 3), 0, 2**18)
    assert values.bool().tolist() == [[True] * 4 + [True] * 3 + [False] + [True] * 2 + [False] * 2]


@pytest.mark.parametrize("task", [SST2, MNLI], ids=["one_text", "two_texts"])
def test_logits_by_hand(task: TaskConfig, context: Context) -> None:
    bundle = with_random_weights(make(bow_config(), context(task=task)))
    row = ("The cat sees the cat",) if task is SST2 else ("The cat sees the cat", "the dog sees the cat")
    texts = [bundle.tokenizer(text, add_special_tokens=False)["input_ids"] for text in row]
    used, count = [], 0
    for n in (1, 2):
        grams = [[tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)] for ids in texts]
        for group, one in enumerate(grams):
            others = {gram for other in grams if other is not one for gram in other}
            count += len(one)
            used += [hash_by_hand(gram, group, 4096) for gram in one]
            used += [hash_by_hand(gram, 2, 4096) for gram in one if gram in others]
            constant = (3 + 4 * n) * 1_000_003 * 1_540_483_477 % (2**31 - 1) % 4096
            used += [constant for gram in one if gram in others]
    linear: Any = bundle.model.classifier
    expected = linear.bias + linear.weight[:, used].sum(dim=1) / math.sqrt(count)
    torch.testing.assert_close(logits(bundle, row)[0], expected)


def test_padding_changes_nothing_and_order_matters_within_an_ngram_only(context: Context) -> None:
    bundle = with_random_weights(make(bow_config(ngrams=1), context(task=SST2)))
    rows = [("the cat sees the dog",), ("dog the sees cat the",), ("the cat sees the dog " * 3,)]
    together = logits(bundle, *rows)
    torch.testing.assert_close(together[0], together[1])
    for row, expected in zip(rows, together, strict=True):
        torch.testing.assert_close(logits(bundle, row)[0], expected)
    pairs = with_random_weights(make(bow_config(ngrams=2), context(task=SST2)))
    first, shuffled = logits(pairs, *rows[:2])
    assert not torch.allclose(first, shuffled)


def test_the_texts_of_a_pair_are_told_apart(context: Context) -> None:
    bundle = with_random_weights(make(bow_config(), context(task=MNLI)))
    first, swapped = logits(bundle, ("the cat", "a dog"), ("a dog", "the cat"))
    assert not torch.allclose(first, swapped)
    empty = logits(bundle, ("", "a dog"), ("a dog", ""))
    assert empty.isfinite().all()
    assert not torch.allclose(empty[0], empty[1])


@pytest.mark.parametrize(("task", "outputs"), [(SST2, 2), (MNLI, 3), (STSB, 1), (TAGS, 3)], ids=lambda x: str(x)[:4])
def test_outputs_of_each_task_type_start_at_zero(task: TaskConfig, outputs: int, context: Context) -> None:
    bundle = make(bow_config(), context(task=task))
    row = ("the cat", "sees")[: len(task.text)]
    assert logits(bundle, row).tolist() == [[0.0] * outputs]
    assert class_names(bundle) == (task.labels or ["score"])
    assert sum(weights.numel() for weights in bundle.model.parameters()) == outputs * (4096 + 1)


def test_gradients_reach_the_weights_of_the_row_alone(context: Context) -> None:
    bundle = make(bow_config(), context(task=SST2))
    bundle.model(**bundle.tokenizer("the cat sees", return_tensors="pt")).logits[0, 1].backward()
    linear: Any = bundle.model.classifier
    assert linear.weight.grad[0].eq(0).all()
    values = linear.weight.grad[1]
    assert values[values != 0].tolist() == pytest.approx([5**-0.5] * 5)  # three words and two pairs of words


def test_a_saved_bag_of_words_answers_as_before(tmp_path: Path, context: Context) -> None:
    bundle = with_random_weights(make(bow_config(), context(task=MNLI)))
    bundle.model.save_pretrained(tmp_path)
    bundle.tokenizer.save_pretrained(tmp_path)
    loaded = from_path(tmp_path, context(task=MNLI))
    assert loaded.has_head
    rows = [("the cat sees", "a dog sees the cat"), ("the dog", "the dog")]
    assert logits(loaded, *rows).equal(logits(bundle, *rows))
    assert loaded.fingerprint == model_fingerprint(bundle.model, bundle.tokenizer)


def test_special_tokens_are_no_text_and_unknown_words_are(context: Context) -> None:
    bundle = make(bow_config(), context(task=SST2))
    config: Any = bundle.model.config
    unknown = bundle.tokenizer.convert_tokens_to_ids("[UNK]")
    assert unknown in special_ids(bundle.tokenizer)
    assert config.special_ids == [index for index in special_ids(bundle.tokenizer) if index != unknown]
    assert "token_type_ids" not in bundle.tokenizer.model_input_names


def test_the_teacher_gives_the_vocabulary(context: Context) -> None:
    teacher = make(scratch_config(), context(task=MNLI))
    bundle = make(bow_config(tokenizer=TokenizerSource.teacher), context(task=MNLI, teacher=teacher))
    assert bundle.tokenizer.get_vocab() == teacher.tokenizer.get_vocab()
    with pytest.raises(ModelError, match=r"student\.tokenizer=teacher.*student\.tokenizer=corpus"):
        make(bow_config(tokenizer=TokenizerSource.teacher), context(task=MNLI))


def test_a_tokenizer_that_does_not_separate_texts_is_refused_for_pairs(context: Context) -> None:
    teacher = make(scratch_config(), context(task=MNLI))
    backend: Any = teacher.tokenizer
    backend.backend_tokenizer.post_processor = None
    config = bow_config(tokenizer=TokenizerSource.teacher)
    with pytest.raises(ModelError, match=r"student\.tokenizer=teacher.*no special token between.*corpus"):
        make(config, context(task=MNLI, teacher=teacher))
    assert make(config, context(task=SST2, teacher=teacher)).name == "bag of words, 1–2-grams"
