"""Padding ids of checkpoints, and batches whose rows take several passes."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ModelError
from kdrun.models import saving
from kdrun.models.bundle import ModelBundle
from kdrun.models.row_groups import Key, group_rows, grouping_of
from tests.helpers.tiny_families import config_of, random_model, save_checkpoint, tokenizer_of
from tests.helpers.tiny_models import build_context, from_path

TEXTS = [("the cat sees the dog",), ("cat",), ("the teacher remembers the river and the garden",)]


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def load(folder: Path, role: str = "teacher") -> ModelBundle:
    return from_path(folder, build_context(role, max_length=64))


def logits_of(bundle: ModelBundle, texts: list[tuple[str]]) -> np.ndarray:
    """Logits of the texts in one padded batch."""
    with torch.no_grad():
        return bundle.model(**TextTokenizer(bundle.tokenizer, 64).batch(texts)).logits.numpy()


def plain_logits(folder: Path, texts: list[tuple[str]]) -> np.ndarray:
    """Logits by transformers alone, one text at a time."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return np.concatenate([model(**tokenizer(text, return_tensors="pt")).logits.numpy() for (text,) in texts])


@pytest.mark.parametrize(
    ("model_type", "config_id", "tokenizer_token", "note"),
    [
        ("gpt2", 7, "<pad>", r"pad_token_id set to 1 \('<pad>'\).*config\.json has 7"),
        ("qwen2", 7, "<pad>", r"pad_token_id set to 1 \('<pad>'\).*config\.json has 7"),
        ("qwen2", None, "<pad>", r"pad_token_id set to 1 \('<pad>'\).*config\.json has None"),
        ("gpt2", 1, None, r"no padding token.*'<pad>', pad_token_id 1 of config\.json"),
        ("gpt2", None, None, r"no padding token.*'</s>', its end-of-text token"),
    ],
)
def test_a_decoder_and_its_tokenizer_get_one_padding_token(
    model_type: str, config_id: int | None, tokenizer_token: str | None, note: str, tmp_path: Path
) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model")
    edit(folder / "config.json", pad_token_id=config_id)
    edit(folder / "tokenizer_config.json", pad_token=tokenizer_token)
    bundle = load(folder)
    assert any(re.search(note, text) for text in bundle.notes)
    expected = plain_logits(folder, TEXTS)
    np.testing.assert_allclose(logits_of(bundle, TEXTS), expected, atol=1e-5)
    saving.save_pretrained(bundle, None, tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.tokenizer.pad_token == bundle.tokenizer.pad_token
    assert again.model.config.pad_token_id == again.tokenizer.pad_token_id
    assert not any("pad" in text for text in again.notes)
    np.testing.assert_allclose(logits_of(again, TEXTS), expected, atol=1e-5)


def test_no_token_to_pad_with(tmp_path: Path) -> None:
    folder = save_checkpoint("gpt2", tmp_path / "model")
    edit(folder / "config.json", pad_token_id=None)
    edit(folder / "tokenizer_config.json", pad_token=None, eos_token=None)
    with pytest.raises(ModelError, match=r"teacher\.path=.*padding token.*pad_token in tokenizer_config\.json"):
        load(folder)


def test_another_padding_id_than_positions_count_from(tmp_path: Path) -> None:
    folder = save_checkpoint("roberta", tmp_path / "model")
    edit(folder / "tokenizer_config.json", pad_token="<unk>")
    with pytest.raises(ModelError, match=r"'<unk>' \(id 3\).*pad_token_id 1.*RoBERTa counts positions"):
        load(folder)


def test_another_padding_id_of_a_masked_model_changes_nothing(tmp_path: Path) -> None:
    folder = save_checkpoint("bert", tmp_path / "model")
    expected = logits_of(load(folder), TEXTS)
    edit(folder / "config.json", pad_token_id=5)
    bundle = load(folder)
    assert not bundle.notes
    assert np.array_equal(logits_of(bundle, TEXTS), expected)


@pytest.mark.parametrize("model_type", ["bart", "mt5"])
def test_end_tokens_in_a_text(model_type: str, tmp_path: Path) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model")
    texts = [*TEXTS, ("the cat </s> sees the dog",), ("</s></s> cat",)]
    np.testing.assert_allclose(logits_of(load(folder), texts), plain_logits(folder, texts), atol=1e-5)


def test_a_tokenizer_without_end_tokens(tmp_path: Path) -> None:
    folder = save_checkpoint("bart", tmp_path / "model")
    tokenizer_of("gpt2").save_pretrained(folder)
    with pytest.raises(ModelError, match=r"teacher\.path=.*BART .*eos_token_id 2.*ends no row"):
        load(folder)


@pytest.mark.parametrize("key", ["length", "end_tokens"])
def test_groups_keep_rows_and_gradients(key: Key) -> None:
    tokenizer = tokenizer_of("bert")
    batch = TextTokenizer(tokenizer, 64).batch(TEXTS)
    model = random_model(config_of("bert", tokenizer))
    embeddings: Any = model.get_input_embeddings()

    def gradient() -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        logits = model(**batch).logits
        logits[:, 1].square().sum().backward()
        return logits.detach(), embeddings.weight.grad.clone()

    logits, expected = gradient()
    group_rows(model, key, end_id=7)
    assert grouping_of(model) == key
    grouped, actual = gradient()
    torch.testing.assert_close(grouped, logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


def test_a_large_difference_in_a_model_without_a_mask_is_measured(tmp_path: Path) -> None:
    """The weights decide: a padding embedding of zeros leaves a MobileBERT's neighbors as they are."""
    tokenizer = tokenizer_of("mobilebert")
    model = random_model(config_of("mobilebert", tokenizer))
    embeddings: Any = model.get_input_embeddings()
    embeddings.weight.data[tokenizer.pad_token_id] = 0
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert grouping_of(load(tmp_path).model) is None
