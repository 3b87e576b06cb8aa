"""Generated text as teacher and student receive it, in soft tokens and as text."""

from typing import Any

import pytest
import torch

from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.generation import soft_tokens
from kdrun.methods.dfkd_t3 import Mode
from tests.helpers.tiny_dfkd import LETTERS, PAIR, SINGLE, WAYS, batch, build_method


@pytest.mark.parametrize("teacher", ["encoder", "t5"])
@pytest.mark.parametrize("settings", WAYS)
def test_the_soft_path_gives_the_logits_of_the_discrete_text(settings: dict[str, Any], teacher: str) -> None:
    method = build_method(teacher=teacher, **settings)
    examples = batch(method)
    text = method.text_generator.generate(examples, method.target_classes(examples), temperature=0.7)
    assert text.soft is not None
    for role, reading in method.text_generator.encode_for_readers(examples, text).items():
        assert reading.mask is not None
        hard = method.roles[role](**reading.inputs).logits
        soft = soft_tokens.soft_logits(method.roles[role], reading.inputs, reading.mask, text.generated_ids, text.soft)
        torch.testing.assert_close(soft, hard, rtol=1e-5, atol=1e-5)
        assert hard.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("teacher", ["encoder", "t5"])
@pytest.mark.parametrize("settings", WAYS)
def test_a_text_in_soft_tokens_is_the_text_that_is_read_as_text(settings: dict[str, Any], teacher: str) -> None:
    """Both interfaces agree: ids in a role's frame, and decoded text tokenized for the role."""
    method = build_method(teacher=teacher, **settings)
    examples = batch(method)
    text = method.generate_text(examples)
    generator_tokenizer = method.context.tokenizers["generator"]
    words = [
        generator_tokenizer.decode_texts(ids[here].tolist(), 1)
        for ids, here in zip(text.ids, text.present, strict=True)
    ]
    for role, inputs in text.inputs.items():
        expected = method.context.tokenizers[role].batch(words)
        assert set(inputs) == set(expected)
        for name, values in expected.items():
            assert torch.equal(inputs[name], values), (role, name)


def test_a_class_changes_what_is_written() -> None:
    """By the prompt alone: the same gaps, the same noise."""
    method = build_method()
    examples = batch(method)
    logits = [method.text_generator.generate(examples, torch.full((3,), c), temperature=1.0).logits for c in (0, 1)]
    assert not torch.allclose(logits[0], logits[1], atol=1e-2)


@pytest.mark.parametrize("task", [SINGLE, PAIR], ids=["single", "pair"])
def test_text_passes_between_different_vocabularies(task: TaskConfig) -> None:
    method = build_method(task, other_vocabulary=True)
    examples = batch(method)
    text = method.generate_text(examples)
    generator_tokenizer = method.context.tokenizers["generator"]
    count = len(task.text)
    for ids, here, token_ids in zip(text.ids, text.present, text.inputs["student"]["input_ids"], strict=True):
        words = generator_tokenizer.decode_texts(ids[here].tolist(), count)
        decoded = method.context.tokenizers["student"].tokenizer.decode(token_ids, skip_special_tokens=True)
        in_student = [word for word in " ".join(words).split() if word in LETTERS]  # it knows no other words
        assert decoded.split() == in_student
    assert text.generated_mask.any(dim=1).all()


def test_classes_with_equal_tokens_are_an_error() -> None:
    task = TaskConfig(name="sst2", text=["sentence"], labels=["bad", "good"], label_words=["one", "two"])
    with pytest.raises(ModelError, match=r"'sst2 one:' and 'sst2 two:' alike"):
        build_method(task)


def test_texts_longer_than_a_role_reads_are_refused() -> None:
    method = build_method(mode=Mode.decode, max_tokens=31, min_tokens=31)
    with pytest.raises(ModelError, match=r"33 with the special tokens of the teacher.*data\.max_length is 32"):
        method.generate_text(batch(method))
