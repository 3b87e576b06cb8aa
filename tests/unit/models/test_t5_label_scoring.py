"""Label-word scores of a T5 against plain loops with the model's own loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5ForConditionalGeneration

from kdrun.config.architectures import Architecture
from kdrun.config.model import PretrainConfig
from kdrun.config.task import TaskConfig
from kdrun.data.splits import make_split
from kdrun.data.tokenization import tokenize
from kdrun.errors import ConfigError, ModelError
from kdrun.models import saving, t5_label_scoring, tokenizers
from kdrun.models.bundle import BuildContext, ModelBundle
from tests.helpers.tiny_models import MNLI, SIZES, STSB, from_path, make, scratch_config, shared

Context = Callable[..., BuildContext]
WORDS = ("cat", "the cat", "the cat sees", "dog")
CATS = TaskConfig(name="cats", text=["a"], labels=["a", "b", "c", "d"], prompts=["cats:"], label_words=list(WORDS))
SCORES = TaskConfig(
    name="scores", text=["a", "b"], range=[0, 5], prompts=["a:", "b:"], label_words=["0", "1.5", "3", "5.0"]
)
TEXTS = ["The cat sees the dog", "the garden", "a horse follows the naïve teacher across the river"]


def t5(context: Context, task: TaskConfig = CATS, role: str = "student", **more: Any) -> ModelBundle:
    return make(scratch_config(Architecture.t5, **more), context(role, task))


def batch(built: ModelBundle, texts: list[str], task: TaskConfig = CATS) -> dict[str, torch.Tensor]:
    columns = [pa.array(texts)] * len(task.text)
    split = make_split("train", columns, pa.array([0] * len(texts)), "test")
    return tokenize(split, built.tokenizer, 64, built.prompts).batch(np.arange(len(texts)))


def one_by_one(built: ModelBundle, inputs: dict[str, torch.Tensor], task: TaskConfig) -> torch.Tensor:
    """Each row alone, each label word alone, with T5's own loss (a mean over the tokens of the word and the end)."""
    plain = T5ForConditionalGeneration(copy.deepcopy(built.model.config))  # pyright: ignore[reportArgumentType]
    plain.load_state_dict(built.model.state_dict())
    rows = []
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        row_ids = ids[mask.bool()][None]
        scores = []
        for word in task.label_words:
            target = built.tokenizer(word, return_tensors="pt").input_ids
            assert target[0, -1] == built.tokenizer.eos_token_id
            with torch.no_grad():
                scores.append(-plain.eval()(input_ids=row_ids, labels=target).loss * target.shape[1])
        rows.append(torch.stack(scores))
    return torch.stack(rows)


@pytest.mark.parametrize("task", [CATS, MNLI])
@pytest.mark.parametrize("scaled", [True, False])
def test_logits_are_the_log_likelihoods_of_the_label_words(context: Context, task: TaskConfig, scaled: bool) -> None:
    """Words of one and of several tokens, two of which begin with another word, rows of several lengths in a batch."""
    built = t5(context, task)
    built.model.config.scale_decoder_outputs = scaled
    inputs = batch(built, TEXTS, task)
    with torch.no_grad():
        logits = built.model(**inputs).logits
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, one_by_one(built, inputs, task), rtol=1e-5, atol=1e-5)


def test_soft_tokens_give_what_ids_give(context: Context) -> None:
    built = t5(context)
    inputs = batch(built, TEXTS)
    embedded = built.model.get_input_embeddings()(inputs["input_ids"])
    others = {name: value for name, value in inputs.items() if name != "input_ids"}
    with torch.no_grad():
        assert torch.equal(built.model(**inputs).logits, built.model(**others, inputs_embeds=embedded).logits)


def test_a_score_is_the_mean_of_the_number_words(context: Context) -> None:
    built = t5(context, SCORES)
    inputs = batch(built, TEXTS, SCORES)
    shares = one_by_one(built, inputs, SCORES).softmax(dim=-1)
    expected = shares[:, 1] * 1.5 + shares[:, 2] * 3 + shares[:, 3] * 5
    with torch.no_grad():
        actual = built.model(**inputs).logits
    assert actual.shape == (3, 1)
    torch.testing.assert_close(actual[:, 0], expected, rtol=1e-5, atol=1e-5)


def test_the_hard_loss_and_the_label_mass_loss_equal_t5s_loss(context: Context) -> None:
    """Cross-entropy over labels, plus the term that needs none, is T5's cross-entropy of the right word's tokens."""
    built = t5(context, sizes={**SIZES[Architecture.t5], "dropout_rate": 0.0})
    inputs, labels = batch(built, TEXTS), torch.tensor([0, 2, 3])
    model: Any = built.model.train()
    logits = model(**inputs).logits
    weight, stray = model.auxiliary_losses()["stray"]
    assert weight == 1.0
    assert model.auxiliary_losses() == {}
    hard = nn.functional.cross_entropy(logits, labels)
    label_loss = -one_by_one(built, inputs, CATS)[torch.arange(3), labels].mean()
    torch.testing.assert_close(hard + stray, label_loss, rtol=1e-5, atol=1e-5)

    model.eval()(**inputs)
    with torch.no_grad():
        model.train()(**inputs)
    assert model.auxiliary_losses() == {}


def test_scores_are_fp32_under_autocast(context: Context) -> None:
    built = t5(context)
    inputs = batch(built, TEXTS)
    with torch.no_grad():
        exact = built.model(**inputs).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = built.model(**inputs).logits
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0.3)


def test_a_saved_model_is_a_plain_t5(context: Context, tmp_path: Path) -> None:
    built = t5(context)
    inputs = batch(built, TEXTS)
    saving.save_pretrained(built, None, tmp_path)
    plain = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert type(plain) is T5ForConditionalGeneration
    assert plain.config.architectures == ["T5ForConditionalGeneration"]
    assert (plain.config.label_words, plain.config.prompts) == (list(WORDS), ["cats:"])
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == built.tokenizer.get_vocab()

    again = from_path(tmp_path, context("teacher", CATS))
    assert again.has_head
    assert again.fingerprint == built.fingerprint
    with torch.no_grad():
        assert torch.equal(again.model(**inputs).logits, built.model(**inputs).logits)
    other = TaskConfig(name="dogs", text=["a"], labels=["a", "b"], prompts=["dogs:"], label_words=["dog", "cat"])
    with pytest.raises(ModelError, match=r"cat, the cat, .* dogs asks for dog, cat to dogs:.*fine_tune=always"):
        from_path(tmp_path, context("teacher", other))
    student = from_path(tmp_path, context("student", other))
    assert not student.has_head
    assert "trained on the answers of dogs" in student.notes[0]
    generator = from_path(tmp_path, context("generator", other))
    assert type(generator.model) is T5ForConditionalGeneration
    assert generator.prompts == []


def test_a_trained_model_answers_with_the_label_word(context: Context, tmp_path: Path) -> None:
    torch.manual_seed(0)  # of dropout
    built = t5(context, sizes={"d_model": 32, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 1})
    texts, labels = ["the cat", "the dog", "the horse", "the river"], torch.arange(4)
    inputs, model = batch(built, texts), built.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = nn.functional.cross_entropy(model(**inputs).logits, labels)
        _, stray = model.auxiliary_losses()["stray"]  # pyright: ignore[reportCallIssue]
        (loss + stray).backward()
        optimizer.step()
        optimizer.zero_grad()
    saving.save_pretrained(built, None, tmp_path)
    plain, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    answers = plain.generate(**tokenizer([f"cats: {text}" for text in texts], return_tensors="pt"))
    assert tokenizer.batch_decode(answers, skip_special_tokens=True) == list(WORDS)


def test_label_words_with_the_same_tokens_are_refused(context: Context) -> None:
    def task(*words: str) -> TaskConfig:
        labels = [f"l{i}" for i in range(len(words))]
        return TaskConfig(name="t", text=["a"], labels=labels, prompts=["t:"], label_words=list(words))

    with pytest.raises(ModelError, match=r"'Cat' and 'cat' .*; '漢' .*task\.label_words"):
        t5(context, task("Cat", "cat", "漢"))
    with pytest.raises(ModelError, match=r"0 prompts for 2 texts and 0 label words .*task\.prompts"):
        t5(context, STSB)


def test_a_generator_is_a_plain_t5(context: Context) -> None:
    built = t5(context, role="generator", pretrain=PretrainConfig(steps=2, batch_size=4, max_length=24))
    assert type(built.model) is T5ForConditionalGeneration
    assert built.notes[0].startswith("pretrained on nouns: 2 steps, loss ")
    assert built.notes[0].endswith("nats per target token")


def test_sizes_are_checked(context: Context) -> None:
    with pytest.raises(ConfigError, match="num_layer: t5 has no such size; did you mean 'num_layers'"):
        t5(context, sizes={"num_layer": 2})
    with pytest.raises(ConfigError, match="decoder_start_token_id cannot be set: the tokenizer decides it"):
        t5(context, sizes={"decoder_start_token_id": 2})


def test_position_biases_are_drawn_wide_and_from_the_seed(context: Context) -> None:
    first, second = t5(context).model.state_dict(), t5(context).model.state_dict()
    bias = first["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    assert 1.5 < float(bias.std()) < 2.5
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_shared_blocks_are_laid_out_once() -> None:
    """Words 7, 7 8 and 9: the inputs `0 7 8` contain those of 7; `0 9` is a separate block."""
    layout = t5_label_scoring.layout_label_words([[7], [7, 8], [9]], start=0, end=1)
    assert layout.inputs.tolist() == [[0, 7, 8, 0, 9]]
    visible = layout.seen[0, 0].int().tolist()
    assert visible == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]
    assert layout.tokens.tolist() == [[7, 1, 0], [7, 8, 1], [9, 1, 0]]
    assert layout.present.tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 0]]
    places = layout.places[layout.nodes]
    prefix_ends = [[layout.inputs[0, place].item() for place in row] for row in places]
    assert [row[1] for row in prefix_ends] == [7, 7, 9]
    assert prefix_ends[1][2] == 8


def test_the_small_t5_of_the_shared_folder_is_a_teacher(context: Context) -> None:
    built = from_path(shared("t5-mini"), context("teacher", MNLI, max_length=64))
    inputs = batch(built, TEXTS, MNLI)
    assert not built.has_head
    with torch.no_grad():
        logits = built.model(**inputs).logits
    torch.testing.assert_close(logits, one_by_one(built, inputs, MNLI), rtol=1e-4, atol=1e-4)
    assert math.exp(logits.max()) < 1
    encoder = from_path(shared("minilm-l6"), context("student", MNLI))
    assert tokenizers.same_vocabulary(built.tokenizer, encoder.tokenizer)
