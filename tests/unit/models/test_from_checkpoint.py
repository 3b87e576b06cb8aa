"""Models from checkpoints: weights, heads, labels, errors."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdrun.config.architectures import Architecture
from kdrun.config.fields import MISSING
from kdrun.config.model import NoGeneratorConfig, PretrainedConfig
from kdrun.errors import ModelError
from kdrun.models import parameters, saving
from kdrun.models.bundle import BuildContext
from tests.helpers.tiny_models import FAMILIES, from_path, logits, make, scratch_config, shared

Context = Callable[..., BuildContext]


@pytest.fixture
def folder(context: Context, tmp_path: Path) -> Path:
    """A fine-tuned model as kdrun saves it."""
    saving.save_pretrained(make(scratch_config(), context("teacher")), None, tmp_path / "model")
    return tmp_path / "model"


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("role", ["teacher", "generator"])
def test_a_saved_model_loads_unchanged(family: Architecture, role: str, context: Context, tmp_path: Path) -> None:
    built = make(scratch_config(family), context(role))
    saving.save_pretrained(built.model, built.tokenizer, tmp_path / "saved")
    loaded = from_path(tmp_path / "saved", context(role, seed=9))
    assert loaded.fingerprint == built.fingerprint
    assert loaded.name == "saved"
    assert loaded.has_head == (role == "teacher")
    assert loaded.notes == []
    assert torch.equal(logits(loaded), logits(built))
    assert {p.name for p in (tmp_path / "saved").iterdir()} >= {"model.safetensors", "tokenizer.json", "config.json"}


def test_half_precision_weights_load_and_save_as_fp32(folder: Path, context: Context, tmp_path: Path) -> None:
    edit_weights(folder, lambda state: {name: tensor.bfloat16() for name, tensor in state.items()})
    edit(folder, dtype="bfloat16")
    loaded = from_path(folder, context("teacher"))
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    saving.save_pretrained(loaded.model.bfloat16(), loaded.tokenizer, tmp_path / "again")
    assert {t.dtype for t in load_file(tmp_path / "again" / "model.safetensors").values()} == {torch.float32}


def test_any_builder_takes_a_path(folder: Path, context: Context) -> None:
    config = scratch_config(path=str(folder), sizes={"hidden_size": 64})
    assert make(config, context("teacher")).fingerprint == from_path(folder, context("teacher")).fingerprint


def test_no_generator(context: Context) -> None:
    assert make(NoGeneratorConfig(), context("generator")) is None


def test_a_base_gets_a_new_seeded_head(folder: Path, context: Context) -> None:
    edit(folder, architectures=["BertModel"])
    edit_weights(folder, lambda state: {n.removeprefix("bert."): t for n, t in state.items() if n.startswith("bert.")})
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = from_path(folder, context(seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert from_path(folder, context(seed=1)).fingerprint == first.fingerprint
    assert from_path(folder, context(seed=2)).fingerprint != first.fingerprint
    assert not first.has_head
    assert first.notes == ["2 weights were new: classifier.bias, classifier.weight"]


def test_a_token_classification_head_is_replaced(folder: Path, context: Context) -> None:
    edit(folder, architectures=["BertForTokenClassification"])
    checkpoint_head = load_file(folder / "model.safetensors")["classifier.weight"]
    built = from_path(folder, context("teacher", seed=2))
    assert not built.has_head
    assert not torch.equal(built.model.state_dict()["classifier.weight"], checkpoint_head)


def test_a_missing_pooler_is_noted(folder: Path, context: Context) -> None:
    edit_weights(folder, lambda state: {n: t for n, t in state.items() if "pooler" not in n})
    (note,) = from_path(folder, context("teacher")).notes
    assert note == "the checkpoint has no pooler: bert.pooler.dense.bias, bert.pooler.dense.weight were new"


def test_a_missing_part_of_the_body_is_refused(folder: Path, context: Context) -> None:
    edit_weights(folder, lambda state: {n: t for n, t in state.items() if ".layer.2." not in n})
    with pytest.raises(ModelError, match=r"16 weights of the body are missing .*bert\.encoder\.layer\.2"):
        from_path(folder, context("teacher"))


def test_a_body_of_another_shape_is_refused(folder: Path, context: Context) -> None:
    edit(folder, intermediate_size=48)
    with pytest.raises(ModelError, match=r"teacher\.path=.*weights of the body .*different shape"):
        from_path(folder, context("teacher"))


def test_a_generator_needs_its_language_head(folder: Path, context: Context) -> None:
    with pytest.raises(ModelError, match=r"generator\.path=.*masked-language-model head"):
        from_path(folder, context("generator"))


def test_a_missing_folder(context: Context, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"teacher\.path=.*nowhere"):
        from_path(tmp_path / "nowhere", context("teacher"))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "config.json is missing"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no safetensors weights"),
    ],
)
def test_a_missing_file(missing: str, message: str, folder: Path, context: Context) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=message):
        from_path(folder, context("teacher"))


def test_pickled_weights_are_refused(folder: Path, context: Context) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no safetensors weights \(only pytorch_model\.bin, which can run code"):
        from_path(folder, context("teacher"))


def test_custom_code_is_refused(folder: Path, context: Context) -> None:
    edit(folder, auto_map={"AutoModel": "modeling.Mine"})
    with pytest.raises(ModelError, match="auto_map"):
        from_path(folder, context("teacher"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "berd"}, "model_type 'berd'"),
        ({"model_type": None, "architectures": None}, "model_type None"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"model_type": "clip"}, "cannot be loaded for the teacher|cannot be used"),
    ],
)
def test_an_unusable_config(changes: dict[str, Any], message: str, folder: Path, context: Context) -> None:
    edit(folder, **changes)
    shutil.move(folder, folder.with_name("other"))  # transformers infers a family from the folder's name
    with pytest.raises(ModelError, match=message):
        from_path(folder.with_name("other"), context("teacher"))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_file(file: str, folder: Path, context: Context) -> None:
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="copy"):
        from_path(folder, context("teacher"))


def test_a_tokenizer_larger_than_the_embeddings(folder: Path, context: Context) -> None:
    edit(folder, vocab_size=100)
    with pytest.raises(ModelError, match=r"the tokenizer has .* entries, the model 100 embeddings"):
        from_path(folder, context("teacher"))


def test_too_long_texts(folder: Path, context: Context) -> None:
    with pytest.raises(ModelError, match=r"128 tokens, data\.max_length is 200; set data\.max_length=128"):
        from_path(folder, context("teacher", max_length=200))


@pytest.mark.parametrize("hub", ["", MISSING])
def test_nothing_to_load(hub: str, context: Context) -> None:
    with pytest.raises(ModelError, match=r"teacher\.path=FOLDER, or teacher\.hub=NAME"):
        make(PretrainedConfig(name="pretrained", hub=hub), context("teacher"))


@pytest.mark.parametrize("role", ["teacher", "student", "generator"])
def test_a_missing_hub_checkpoint_fails_fast_with_a_remedy(
    role: str, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    started = time.perf_counter()
    with pytest.raises(ModelError, match=rf"{role}\.path=FOLDER.*preset=embedded"):
        make(PretrainedConfig(name="pretrained", hub="owner/missing"), context(role))
    assert time.perf_counter() - started < 10


def test_an_invalid_hub_name_is_refused(context: Context) -> None:
    with pytest.raises(ModelError, match=r"teacher\.hub=a/b/c .*teacher\.path=FOLDER"):
        make(PretrainedConfig(name="pretrained", hub="a/b/c"), context("teacher"))


def test_nothing_is_printed(folder: Path, context: Context, capfd: pytest.CaptureFixture[str]) -> None:
    edit(folder, architectures=["BertModel"])
    from_path(folder, context("teacher"))
    assert capfd.readouterr() == ("", "")


def test_a_real_encoder(context: Context) -> None:
    folder = shared("minilm-l6")
    built = from_path(folder, context("teacher"))
    assert built.name == "minilm-l6"
    assert not built.has_head
    assert parameters.count_parameters(built.model) == pytest.approx(22.7e6, rel=0.01)
    assert built.tokenizer("a film", "b")["token_type_ids"][-1] == 1
    with pytest.raises(ModelError, match="masked-language-model head"):
        from_path(folder, context("generator"))


def test_a_real_generator_fills_a_mask(context: Context) -> None:
    built = from_path(shared("minilm-l3-mlm"), context("generator"))
    batch = built.tokenizer("He was born in [MASK] in the city of London.", return_tensors="pt")
    position = int((batch["input_ids"][0] == built.tokenizer.mask_token_id).nonzero())
    with torch.no_grad():
        best = built.model(**batch).logits[0, position].topk(20).indices
    assert "london" in built.tokenizer.convert_ids_to_tokens(best)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, folder: Path, context: Context) -> None:
    def spoil(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = next(name for name in weights if name.endswith("word_embeddings.weight"))
        weights[name][-1] = value  # the row of a token that no text has
        return weights

    edit_weights(folder, spoil)
    with pytest.raises(ModelError, match=r"1 weights contain NaN.*word_embeddings"):
        from_path(folder, context("teacher"))


def test_a_vocabulary_that_was_made_up_is_refused(folder: Path, context: Context) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (folder / "a.model").write_bytes(b"")
    with pytest.raises(ModelError, match=r"tokenizer has only \d+ entries"):
        from_path(folder, context("teacher"))
