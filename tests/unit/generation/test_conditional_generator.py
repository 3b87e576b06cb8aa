"""Generated text as teacher and student receive it, in soft tokens and as text."""

from typing import Any

import pytest
import torch

from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.generation import soft_tokens
from kdrun.methods.dfkd_t3 import Mode
from tests.helpers.tiny_dfkd import LETTERS, PAIR, SINGLE, WAYS, batch, made


@pytest.mark.parametrize("teacher", ["encoder", "t5"])
@pytest.mark.parametrize("settings", WAYS)
def test_the_soft_path_gives_the_logits_of_the_discrete_text(settings: dict[str, Any], teacher: str) -> None:
    method = made(teacher=teacher, **settings)
    given = batch(method)
    written = method.text_generator.generate(given, method.target_classes(given), temperature=0.7)
    assert written.soft is not None
    for role, reading in method.text_generator.encode_for_readers(given, written).items():
        assert reading.mask is not None
        hard = method.roles[role](**reading.inputs).logits
        soft = soft_tokens.soft_logits(
            method.roles[role], reading.inputs, reading.mask, written.generated_ids, written.soft
        )
        torch.testing.assert_close(soft, hard, rtol=1e-5, atol=1e-5)
        assert hard.std(dim=0).min() > 1e-3


@pytest.mark.parametrize("teacher", ["encoder", "t5"])
@pytest.mark.parametrize("settings", WAYS)
def test_a_text_in_soft_tokens_is_the_text_that_is_read_as_text(settings: dict[str, Any], teacher: str) -> None:
    """Both interfaces agree: ids in a role's frame, and decoded text tokenized for the role."""
    method = made(teacher=teacher, **settings)
    given = batch(method)
    text = method.generate_text(given)
    own = method.context.tokenizers["generator"]
    words = [own.decode_texts(ids[here].tolist(), 1) for ids, here in zip(text.ids, text.present, strict=True)]
    for role, inputs in text.inputs.items():
        wanted = method.context.tokenizers[role].batch(words)
        assert set(inputs) == set(wanted)
        for name, values in wanted.items():
            assert torch.equal(inputs[name], values), (role, name)


def test_a_class_changes_what_is_written() -> None:
    """By the prompt alone: the same gaps, the same noise."""
    method = made()
    given = batch(method)
    logits = [method.text_generator.generate(given, torch.full((3,), c), temperature=1.0).logits for c in (0, 1)]
    assert not torch.allclose(logits[0], logits[1], atol=1e-2)


@pytest.mark.parametrize("task", [SINGLE, PAIR], ids=["single", "pair"])
def test_text_passes_between_different_vocabularies(task: TaskConfig) -> None:
    method = made(task, apart=True)
    given = batch(method)
    text = method.generate_text(given)
    own = method.context.tokenizers["generator"]
    count = len(task.text)
    for ids, here, read in zip(text.ids, text.present, text.inputs["student"]["input_ids"], strict=True):
        words = own.decode_texts(ids[here].tolist(), count)
        shown = method.context.tokenizers["student"].tokenizer.decode(read, skip_special_tokens=True)
        in_student = [word for word in " ".join(words).split() if word in LETTERS]  # it knows no other words
        assert shown.split() == in_student
    assert text.generated_mask.any(dim=1).all()


def test_classes_that_the_generator_cannot_tell_apart_are_refused() -> None:
    task = TaskConfig(name="sst2", text=["sentence"], labels=["bad", "good"], label_words=["one", "two"])
    with pytest.raises(ModelError, match=r"'sst2 one:' and 'sst2 two:' alike"):
        made(task)


def test_texts_longer_than_a_role_reads_are_refused() -> None:
    method = made(mode=Mode.decode, max_tokens=31, min_tokens=31)
    with pytest.raises(ModelError, match=r"33 with the special tokens of the teacher.*data\.max_length is 32"):
        method.generate_text(batch(method))
