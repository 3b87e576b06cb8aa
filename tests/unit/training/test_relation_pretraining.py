"""Relation distillation on a corpus: its loss, what it trains, its cache key, resume and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdrun import losses
from kdrun.config.architectures import Architecture
from kdrun.config.model import LayersOfConfig, LayersPretrainConfig, PretrainConfig, PretrainObjective, TokenizerSource
from kdrun.errors import ModelError
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.masked_lm import MaskedLMObjective
from kdrun.models.relation_objective import RelationObjective
from kdrun.models.span_corruption import SpanCorruptionObjective
from kdrun.storage.checkpoint_manager import CheckpointManager
from kdrun.training.pretraining import PretrainingUpdateRule
from tests.helpers.tiny_models import MNLI, STSB, build_context, make, scratch_config

pytestmark = pytest.mark.usefixtures("isolated")

RELATIONS = PretrainConfig(steps=6, objective=PretrainObjective.relations, batch_size=8, max_length=24, lr=5e-3)
NARROW = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 24}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelBundle]:
    """The teacher of most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(tmp_path_factory.mktemp("teacher")))
        yield teacher()


def teacher(task: Any = MNLI, seed: int = 7) -> ModelBundle:
    """A teacher of 3 layers × 16 with 2 heads. Drawn wide, its relations are not all equal."""
    config = scratch_config()
    config.sizes["initializer_range"] = 0.3
    return make(config, build_context("teacher", task, seed=seed))


def student(pretrain: PretrainConfig = RELATIONS, **more: Any) -> Any:
    """The section of a student of 2 layers × 12 with 3 heads, with the teacher's vocabulary."""
    sizes, tokenizer = dict(NARROW), TokenizerSource.teacher
    return scratch_config(pretrain=pretrain, **{"sizes": sizes, "tokenizer": tokenizer, **more})


def context(bundle: ModelBundle, **more: Any) -> BuildContext:
    return build_context(teacher=bundle, **more)


def first_and_last_loss(bundle: ModelBundle) -> tuple[float, float]:
    words = bundle.notes[0].split()
    return float(words[words.index("loss") + 1]), float(words[words.index("to") + 1])


def test_the_loss_is_that_of_the_relations_of_one_layer_each(bundle: ModelBundle) -> None:
    shape = make(student(PretrainConfig()), context(bundle)).model.config
    config = replace(RELATIONS, teacher_layer=2, relation_heads=4)
    objective = RelationObjective(config, bundle.tokenizer, context(bundle), shape, None)
    model: Any = objective.new(shape)
    batch = bundle.tokenizer(["The cat sees the dog", "The dog paints"], padding=True, return_tensors="pt")
    loss, count = objective.loss(model, batch["input_ids"], 1, "phase", 0)
    expected, mask = torch.zeros(()), batch["attention_mask"]
    body: Any = bundle.model.base_model
    states = [m(**batch, output_hidden_states=True).hidden_states for m in (model, body)]
    layers = model.encoder.layer[1].attention.self, body.encoder.layer[1].attention.self
    for name in ("query", "key", "value"):
        vectors = [getattr(layer, name)(state[1]) for layer, state in zip(layers, states, strict=True)]
        expected = expected + losses.relation_divergence(vectors[0], vectors[1], mask, 4).sum()
    torch.testing.assert_close(loss, expected)
    assert count == 2


def test_a_student_learns_relations_and_keeps_its_head(bundle: ModelBundle, caplog: pytest.LogCaptureFixture) -> None:
    before = {name: tensor.clone() for name, tensor in bundle.model.state_dict().items()}
    plain = make(student(PretrainConfig()), context(bundle))
    learned = make(student(replace(RELATIONS, steps=15, lr=1e-2)), context(bundle))
    first, last = first_and_last_loss(learned)
    assert last < 0.7 * first
    relations = "relations of layer 3 of bert 3x16 (scratch) in 2 relation heads"
    assert caplog.messages == [f"student: 15 steps of pretraining on nouns, once: {relations}"]
    assert f"{relations}, 15 steps, loss" in learned.notes[0]
    weights, plain_weights = learned.model.state_dict(), plain.model.state_dict()
    assert torch.equal(weights["classifier.weight"], plain_weights["classifier.weight"])
    query = "bert.encoder.layer.1.attention.self.query.weight"
    assert not torch.equal(weights[query], plain_weights[query])
    assert all(torch.equal(before[name], tensor) for name, tensor in bundle.model.state_dict().items())


def test_one_body_per_teacher_layer_and_heads_serves_all_tasks(
    bundle: ModelBundle, caplog: pytest.LogCaptureFixture
) -> None:
    brief = replace(RELATIONS, steps=1)
    others = [
        (brief, bundle, {}),
        (replace(brief, teacher_layer=1), bundle, {}),
        (replace(brief, relation_heads=4), bundle, {}),
        (brief, teacher(seed=8), {}),
        (brief, bundle, {"seed": 2}),
    ]
    for number, (pretrain, other, more) in enumerate(others, 1):
        make(student(pretrain), context(other, **more))
        assert len(caplog.messages) == number
    # the defaults by number, and another task, whose teacher has the same body and another head
    make(student(replace(brief, teacher_layer=3, relation_heads=2, mask_rate=0.5)), context(bundle))
    make(student(brief), context(teacher(STSB), task=STSB))
    assert len(caplog.messages) == len(others)


def test_a_student_of_layers_starts_from_them(bundle: ModelBundle, caplog: pytest.LogCaptureFixture) -> None:
    plain = make(LayersOfConfig(name="layers_of", layers=[0]), context(bundle))
    brief = LayersPretrainConfig(steps=6, batch_size=8, max_length=24, lr=1e-6)
    learned = make(LayersOfConfig(name="layers_of", layers=[0], pretrain=brief), context(bundle))
    assert learned.name.endswith(", 6 steps of pretraining")
    for name, tensor in learned.model.state_dict().items():
        torch.testing.assert_close(tensor, plain.model.state_dict()[name], atol=1e-4, rtol=0)
    assert learned.fingerprint != plain.fingerprint
    make(LayersOfConfig(name="layers_of", layers=[1], pretrain=brief), context(bundle))
    assert len(caplog.messages) == 2


def test_an_interrupted_distillation_resumes_to_the_same_weights(
    bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls, clip_factor = list[int](), PretrainingUpdateRule.clip_factor
    undisturbed = make(student(), context(bundle))
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "other"))
    folder = tmp_path / "checkpoints"

    def interrupt(self: PretrainingUpdateRule, norm: float, clip_norm: float) -> float:
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("killed")
        return clip_factor(self, norm, clip_norm)

    def checkpoints(history: Any, config: Any) -> CheckpointManager:
        return CheckpointManager(folder, 0, 2, history, config, save_final=False)

    monkeypatch.setattr(PretrainingUpdateRule, "clip_factor", interrupt)
    with pytest.raises(RuntimeError, match="killed"):
        make(student(), context(bundle, make_checkpoints=checkpoints))
    resumed = make(student(), context(bundle, make_checkpoints=checkpoints))
    assert caplog.messages[-1] == "student: pretraining resumes after step 3"
    assert (resumed.fingerprint, resumed.notes) == (undisturbed.fingerprint, undisturbed.notes)


def test_models_that_do_not_fit_are_refused_before_the_corpus_is_read(bundle: ModelBundle) -> None:
    tokenizer = bundle.tokenizer
    shape = make(student(PretrainConfig()), context(bundle)).model.config

    def refuse(match: str, other: ModelBundle | None = bundle, model: Any = shape, **settings: Any) -> None:
        with pytest.raises(ModelError, match=match):
            RelationObjective(replace(RELATIONS, **settings), tokenizer, build_context(teacher=other), model, None)

    refuse("there is no teacher", None)
    refuse(r"3 layers, and no layer 4", teacher_layer=4)
    refuse(r"student\.pretrain\.relation_heads=3 .* 12 and 16", relation_heads=3)
    refuse(r"the student has room for 128 tokens, student\.pretrain\.max_length is 200", max_length=200)
    modern = make(scratch_config(Architecture.modernbert), build_context()).model.config
    refuse(r"the student \(ModernBertModel\) has no layer 3 with one projection each", model=modern)
    t5 = make(scratch_config(Architecture.t5), build_context("teacher"))
    refuse("the teacher is a text-to-text model", t5)
    smaller = make(scratch_config(vocab_size=160), build_context("teacher"))
    refuse(
        r"student \(182 entries\) and of the teacher \(.*, 160 entries\) differ.*student\.tokenizer=teacher", smaller
    )


def test_the_cache_keys_of_language_models_stay(bundle: ModelBundle) -> None:
    """Cached bodies of earlier versions stay valid: their keys have these settings and no others."""
    config = PretrainConfig(steps=5, teacher_layer=2, relation_heads=3)
    expected = {"steps": 5, "batch_size": 64, "max_length": 64, "mask_rate": 0.15, "lr": 1e-3}
    encoder = MaskedLMObjective(config, bundle.tokenizer, "student")
    assert encoder.settings(config) == expected
    t5 = make(scratch_config(Architecture.t5), build_context("teacher"))
    assert SpanCorruptionObjective(config, t5.tokenizer, "student").settings(config) == expected | {"mean_span": 3.0}
