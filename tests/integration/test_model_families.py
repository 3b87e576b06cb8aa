"""Checkpoints of many families against plain transformers, row by row."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kdrun import losses
from kdrun.config.architectures import Architecture
from kdrun.config.model import LayersOfConfig
from kdrun.console import QuietConsole
from kdrun.data.batch import Batch
from kdrun.data.splits import Split
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.errors import ModelError
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.kd import KD, KDConfig
from kdrun.methods.kd_freelb import KDFreeLB, KDFreeLBConfig
from kdrun.methods.phases import Turn
from kdrun.methods.shared.intermediate_layers import AttentionMaps, forward_with_states
from kdrun.models import attention_maps, families
from kdrun.models.bundle import ModelBundle
from kdrun.models.from_layers import SHARED_BIAS
from kdrun.models.label_alignment import permute_outputs
from kdrun.models.padding import check_embeddings
from kdrun.models.parameters import head_prefix
from kdrun.models.row_groups import grouping_of
from kdrun.models.saving import save_pretrained
from kdrun.runs.runner import prepare
from kdrun.tasks.predictor import Predictor
from tests.helpers.runs import finish, smoke_config
from tests.helpers.tiny_families import DECODERS, ENCODER_DECODERS, FAMILIES, save_checkpoint
from tests.helpers.tiny_models import MNLI, build_context, from_path, make, scratch_config

ROWS = [
    ("the cat sees the dog", "the dog follows the cat"),
    ("the teacher", "a horse"),
    ("the student remembers the river and the garden and the mountain", "the owner is happy"),
    ("cat", "the dog crosses the river, and the café's owner paints the mountain"),
]
GROUPED = {
    **dict.fromkeys(("convbert", "fnet", "mobilebert", "nystromformer", "xlnet", "yoso"), "length"),
    **dict.fromkeys(DECODERS, "length_of_embeddings"),
    **dict.fromkeys(ENCODER_DECODERS, "end_tokens"),
}
"""Families whose rows do not all fit into one pass, and which rows do."""
RARE = {
    *("bloom", "data2vec-text", "ernie", "eurobert", "falcon", "flaubert", "gemma2", "gpt_neo", "gptj", "mbart"),
    *("megatron-bert", "mistral", "mvp", "nomic_bert", "opt", "phi", "qwen3", "roberta-prelayernorm", "umt5"),
    *("xlm-roberta-xl", "yoso"),
}
"""Families whose code in transformers hardly differs from that of another one."""
TAKES_NO_EMBEDDINGS = {*ENCODER_DECODERS, "ibert", "longformer"}
NO_FUSED_ATTENTION = {
    *("big_bird", "bloom", "convbert", "deberta", "deberta-v2", "flaubert", "fnet", "funnel", "gemma2", "gpt_neo"),
    *("gptj", "ibert", "longformer", "megatron-bert", "mpnet", "mvp", "nystromformer", "openai-gpt", "rembert"),
    *("roformer", "squeezebert", "xlm", "xlnet", "yoso"),
}


def split_of(bundle: ModelBundle, rows: Sequence[tuple[str, str]]) -> TokenizedSplit:
    first, second = zip(*rows, strict=True)
    table = pa.table({"text": list(first), "text_pair": list(second)})
    return tokenize(Split("rows", table, "rows", str(hash(tuple(rows)))), bundle.tokenizer, 64)


def probabilities(bundle: ModelBundle, rows: Sequence[tuple[str, str]], batch_size: int = 8) -> np.ndarray:
    logits = Predictor(Accelerator(cpu=True), batch_size).logits(bundle.model, split_of(bundle, rows), 3)
    return torch.from_numpy(logits).softmax(dim=-1).numpy()


def plain_probabilities(folder: Path, rows: Sequence[tuple[str, str]]) -> np.ndarray:
    """Probabilities by transformers alone, one row at a time and without padding."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), load_tokenizer(folder)
    with torch.no_grad():
        return np.stack(
            [model(**tokenizer(*row, return_tensors="pt")).logits.softmax(dim=-1)[0].numpy() for row in rows]
        )


def load_tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize(
    "model_type", [pytest.param(name, marks=[pytest.mark.slow] * (name in RARE)) for name in sorted(FAMILIES)]
)
def test_a_row_alone_and_in_a_padded_batch_has_the_output_of_transformers(model_type: str, tmp_path: Path) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model")
    bundle = from_path(folder, build_context("teacher", max_length=64))
    assert bundle.has_head
    together = probabilities(bundle, ROWS)
    assert np.ptp(together, axis=0).max() > 0.02, "the rows must differ"
    np.testing.assert_allclose(probabilities(bundle, ROWS, batch_size=1), together, rtol=0, atol=1e-5)
    np.testing.assert_allclose(together, plain_probabilities(folder, ROWS), rtol=0, atol=1e-5)
    assert grouping_of(bundle.model) == GROUPED.get(model_type)
    assert any("attention implementation eager" in note for note in bundle.notes) == (model_type in NO_FUSED_ATTENTION)
    assert any("padding changes the output" in note for note in bundle.notes) == (grouping_of(bundle.model) == "length")
    check_reading_of_embeddings(bundle, model_type)
    check_output_layer(bundle)
    check_layers(bundle, model_type)


def check_reading_of_embeddings(bundle: ModelBundle, model_type: str) -> None:
    """Without noise the first losses of kd_freelb equal those of kd; or embeddings are refused."""
    if model_type in TAKES_NO_EMBEDDINGS:
        with pytest.raises(ModelError, match=rf"method=kd_freelb .*the student, and {type(bundle.model).__name__}"):
            check_embeddings(bundle.model, bundle.tokenizer, "student", "kd_freelb")
    else:
        check_embeddings(bundle.model, bundle.tokenizer, "student", "kd_freelb")
        torch.testing.assert_close(
            first_loss(KDFreeLB, KDFreeLBConfig(passes=1, init_magnitude=0.0), bundle),
            first_loss(KD, KDConfig(), bundle),
            rtol=1e-4,
            atol=1e-5,
        )


def check_output_layer(bundle: ModelBundle) -> None:
    """The layer that gives the logits is known, so outputs can be permuted."""
    before = probabilities(bundle, ROWS)
    permute_outputs(bundle.model, [2, 0, 1])
    np.testing.assert_allclose(probabilities(bundle, ROWS), before[:, [2, 0, 1]], rtol=0, atol=1e-5)


def check_layers(bundle: ModelBundle, model_type: str) -> None:
    """A student of selected layers has their weights and its depth, and gives the same outputs after saving."""
    layers = [0] if model_type == "modernbert" else [1, 0]  # the first layer of a ModernBERT lacks a norm
    context = build_context("student", teacher=bundle, max_length=64)
    if model_type == "funnel":
        with pytest.raises(ModelError, match=r"FunnelForSequenceClassification.*not numbered"):
            make(LayersOfConfig(name="layers_of", layers=layers), context)
        return
    student = make(LayersOfConfig(name="layers_of", layers=layers), context)
    assert families.depth(student.model.config) == len(layers)
    pattern, source, body = families.layer_pattern(student.model.config), bundle.model, head_prefix(bundle.model)
    copied = 0
    for name, tensor in student.model.state_dict().items():
        if not name.startswith(body):
            continue
        match = pattern.fullmatch(name)
        if match is not None and (SHARED_BIAS not in name or model_type == "umt5"):
            name = f"{match['before']}{layers[int(match['index'])]}{match['after']}"
            copied += 1
        assert torch.equal(tensor, source.state_dict()[name]), name
    assert copied or model_type == "albert"
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(student, None, Path(folder))
        loaded = from_path(Path(folder), build_context("teacher", max_length=64))
    np.testing.assert_allclose(probabilities(loaded, ROWS), probabilities(student, ROWS), rtol=0, atol=1e-6)


def first_loss(method_class: type[Method], config: Any, bundle: ModelBundle) -> torch.Tensor:
    """Loss of a method on the rows, with random teacher logits."""
    inputs = split_of(bundle, ROWS).batch(np.arange(len(ROWS)))
    stream = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.arange(len(ROWS)),
        {"student": inputs},
        torch.tensor([0, 1, 2, 1]),
        torch.randn(len(ROWS), 3, generator=stream),
        "train",
    )
    device = torch.device("cpu")
    context = MethodContext({"student": bundle.model}, MNLI, losses.kl_divergence, losses.hard_loss(False), 1, device)
    return method_class(config, context).step(batch, Turn("student")).loss


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("architecture", [a for a in Architecture if not a.spec.is_text_to_text])
def test_a_trained_scratch_student_answers_the_same_in_plain_transformers(
    architecture: Architecture, tmp_path: Path
) -> None:
    student = make(scratch_config(architecture), build_context(max_length=64))
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=0.05)
    student.model.train()
    before = probabilities(student, ROWS)
    for _ in range(3):
        first_loss(KD, KDConfig(), student).backward()
        optimizer.step()
        optimizer.zero_grad()
    student.model.eval()
    trained = probabilities(student, ROWS)
    assert np.abs(trained - before).max() > 0.02
    assert np.ptp(trained, axis=0).max() > 1e-4, "the rows must differ"
    save_pretrained(student, None, tmp_path / "student")
    np.testing.assert_allclose(plain_probabilities(tmp_path / "student", ROWS), trained, rtol=0, atol=1e-5)
    assert load_tokenizer(tmp_path / "student")(*ROWS[3]).input_ids == student.tokenizer(*ROWS[3]).input_ids


@pytest.mark.parametrize(
    ("model_type", "sizes", "message"),
    [
        ("funnel", {"block_sizes": [1, 1, 1]}, "FunnelForSequenceClassification cannot classify short texts"),
        ("nystromformer", {"num_landmarks": 4}, "NystromformerForSequenceClassification cannot classify short texts"),
        ("reformer", {}, "ReformerForSequenceClassification gives two outputs for one text"),
    ],
)
def test_a_model_that_cannot_be_batched_is_refused(
    model_type: str, sizes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model", **sizes)
    with pytest.raises(ModelError, match=rf"teacher\.path=.*{message}"):
        from_path(folder, build_context("teacher", max_length=64))


@pytest.mark.parametrize("model_type", ["xlm-roberta", "camembert", "mpnet", "albert", "electra", "modernbert"])
def test_the_mlm_head_of_a_checkpoint_equals_its_own_logits(model_type: str, tmp_path: Path) -> None:
    bundle = from_path(
        save_checkpoint(model_type, tmp_path / "model", masked_lm=True), build_context("generator", max_length=64)
    )
    batch = split_of(bundle, ROWS).batch(np.arange(len(ROWS)))
    with torch.no_grad():
        logits = families.mlm_head(bundle.model)(bundle.model.base_model(**batch).last_hidden_state)
        torch.testing.assert_close(logits, bundle.model(**batch).logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_type", ["xlm-roberta", "albert", "electra", "modernbert", "nomic_bert", "eurobert"])
def test_attention_maps_of_a_checkpoint_equal_those_of_plain_attention(model_type: str, tmp_path: Path) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model")
    bundle = from_path(folder, build_context("teacher", max_length=64, attn_implementation=attention_maps.NAME))
    batch = split_of(bundle, ROWS).batch(np.arange(len(ROWS)))
    plain = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        maps = forward_with_states(bundle.model, batch, AttentionMaps.probabilities, "teacher").attentions
        expected = plain(**batch, output_attentions=True).attentions
    present = batch["attention_mask"][:, None, :, None]
    for actual, right in zip(maps, expected, strict=True):
        torch.testing.assert_close(actual * present, right * present, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_type", ["gpt2", "qwen2", "bart", "mt5", "deberta-v2", "xlnet", "fnet"])
def test_attention_maps_are_refused_by_name(model_type: str, tmp_path: Path) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model")
    with pytest.raises(ModelError, match=r"teacher\.path=.*attention maps.*ForSequenceClassification"):
        from_path(folder, build_context("teacher", max_length=64, attn_implementation=attention_maps.NAME))


@pytest.mark.usefixtures("run_env")
def test_a_run_with_a_decoder_as_teacher_and_a_student_that_padding_changes(tmp_path: Path) -> None:
    teacher, student = (save_checkpoint(name, tmp_path / name) for name in ("gpt2", "xlnet"))
    run = finish(smoke_config(tmp_path, *checkpoints(teacher, student), "method=kd_freelb", "optim.steps=2"))
    assert "student: attention implementation eager" in run.output
    assert "student: padding changes the output of a XLNetForSequenceClassification" in run.output
    AutoModelForSequenceClassification.from_pretrained(run.run_dir / "student")


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("method", ["kd_freelb", "mate_kd"])
def test_embeddings_for_a_bart_are_refused_before_training(method: str, tmp_path: Path) -> None:
    folder, generator = save_checkpoint("bart", tmp_path / "bart"), save_masked_lm(tmp_path / "generator")
    config = smoke_config(tmp_path, *checkpoints(folder, folder), f"method={method}", *generator)
    with pytest.raises(ModelError, match=rf"method={method} .*(student|teacher), and BartForSequenceClassification"):
        prepare(config, QuietConsole())


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("method", ["mate_kd", "kd_augment"])
def test_a_generator_without_a_mask_token_is_refused_before_training(method: str, tmp_path: Path) -> None:
    folder, generator = save_checkpoint("roberta", tmp_path / "roberta"), save_masked_lm(tmp_path / "generator")
    file = tmp_path / "generator" / "tokenizer_config.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "mask_token"}))
    config = smoke_config(tmp_path, *checkpoints(folder, folder), f"method={method}", *generator)
    with pytest.raises(ModelError, match=rf"method={method} .*generator.*no mask token"):
        prepare(config, QuietConsole())


def checkpoints(teacher: Path, student: Path) -> list[str]:
    """Overrides of a run on MNLI with these models."""
    roles = {"teacher": teacher, "student": student}
    paths = [word for role, path in roles.items() for word in (f"{role}=pretrained", f"{role}.path={path}")]
    return ["task=mnli", *paths, "teacher.allow_weak=true"]


def save_masked_lm(folder: Path) -> list[str]:
    """Save a masked language model; returns the overrides that make it the generator."""
    save_checkpoint("roberta", folder, masked_lm=True)
    return ["generator=pretrained", f"generator.path={folder}"]
