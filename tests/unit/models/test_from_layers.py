"""Models from chosen layers of another model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, BertConfig

from kdrun.config.architectures import Architecture
from kdrun.config.model import LayersOfConfig
from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.models import families, from_layers, saving
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.t5_seq2seq import AnswerT5
from tests.helpers.tiny_models import FAMILIES, embeddings, logits, make, scratch_config, stack

Context = Callable[..., BuildContext]


def hidden(built: ModelBundle) -> torch.Tensor:
    batch = built.tokenizer("the cat sees", "the dog", return_tensors="pt")
    with torch.no_grad():
        return built.model.base_model(**batch)[0]


def layers_of(layers: list[int], path: str | None = None) -> LayersOfConfig:
    return LayersOfConfig(name="layers_of", layers=layers, path=path)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_layers_in_order_are_the_source(family: Architecture, context: Context) -> None:
    teacher = make(scratch_config(family), context("teacher"))
    student = make(layers_of([0, 1, 2]), context(teacher=teacher, seed=8))
    torch.testing.assert_close(hidden(student), hidden(teacher), atol=1e-6, rtol=0)
    assert student.tokenizer is teacher.tokenizer
    assert not torch.equal(logits(student), logits(teacher))


@pytest.mark.parametrize("family", FAMILIES)
def test_chosen_layers_equal_the_source_without_the_others(family: Architecture, context: Context) -> None:
    teacher = make(scratch_config(family), context("teacher"))
    student = make(layers_of([2, 0]), context(teacher=teacher))
    assert student.name == f"layers 2,0 of {teacher.name}"
    assert student.model.config.num_hidden_layers == 2
    assert teacher.model.config.num_hidden_layers == 3
    for new, old in enumerate([2, 0]):
        for name, tensor in stack(teacher)[old].state_dict().items():
            assert torch.equal(tensor, stack(student)[new].state_dict()[name])


def test_a_student_shares_no_memory_with_its_source(context: Context) -> None:
    teacher = make(scratch_config(), context("teacher"))
    before = embeddings(teacher).clone()
    student = make(layers_of([1]), context(teacher=teacher))
    with torch.no_grad():
        embeddings(student).zero_()
    assert torch.equal(embeddings(teacher), before)


def test_layers_of_a_folder(context: Context, tmp_path: Path) -> None:
    teacher = make(scratch_config(), context("teacher"))
    saving.save_pretrained(teacher, None, tmp_path / "source")
    student = make(layers_of([0, 2], str(tmp_path / "source")), context())
    assert student.name == "layers 0,2 of source"
    assert not student.has_head
    plain = AutoModel.from_pretrained(tmp_path / "source")
    assert torch.equal(embeddings(student), plain.get_input_embeddings().weight)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([0, 7], r"student\.layers=\[0, 7\] .*layer 7 .*0 to 2"),
        ([-1], r"student\.layers=\[-1\] .*layer -1 .*0 to 2"),
        ([1, 0, 1], r"student\.layers=\[1, 0, 1\] .*layer 1 more than once"),
        ([], r"student\.layers is empty.*0 to 2"),
    ],
)
def test_wrong_layers_are_refused(layers: list[int], message: str, context: Context) -> None:
    teacher = make(scratch_config(), context("teacher"))
    with pytest.raises(ModelError, match=message):
        make(layers_of(layers), context(teacher=teacher))


def t5(context: Context, **sizes: int) -> ModelBundle:
    sizes = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 3, "num_decoder_layers": 3} | sizes
    return make(scratch_config(Architecture.t5, sizes=sizes), context("teacher"))


def test_all_layers_of_a_t5_are_the_source(context: Context) -> None:
    teacher = t5(context)
    student = make(layers_of([0, 1, 2]), context(teacher=teacher, seed=8))
    torch.testing.assert_close(logits(student), logits(teacher), atol=1e-6, rtol=0)
    assert student.tokenizer is teacher.tokenizer


def test_the_first_layers_of_a_t5_are_the_source_without_the_others(context: Context) -> None:
    teacher = t5(context)
    student = make(layers_of([0]), context(teacher=teacher))
    full = logits(teacher)
    body: Any = teacher.model
    for part in (body.encoder, body.decoder):
        part.block = part.block[:1]
    assert not torch.equal(logits(teacher), full)
    torch.testing.assert_close(logits(student), logits(teacher), atol=1e-6, rtol=0)


def test_reordered_layers_of_a_t5_keep_the_position_bias(context: Context) -> None:
    teacher = t5(context)
    student = make(layers_of([2, 0]), context(teacher=teacher))
    assert (student.model.config.num_layers, student.model.config.num_decoder_layers) == (2, 2)
    student_weights, teacher_weights = student.model.state_dict(), teacher.model.state_dict()
    for part in ("encoder", "decoder"):
        bias = f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        assert torch.equal(student_weights[bias], teacher_weights[bias])
        for new, old in enumerate([2, 0]):
            for name in (n for n in student_weights if n.startswith(f"{part}.block.{new}.") and n != bias):
                source = name.replace(f"block.{new}.", f"block.{old}.")
                assert torch.equal(student_weights[name], teacher_weights[source]), name
    assert torch.isfinite(logits(student)).all()


def test_layers_of_a_t5_answer_with_entities(context: Context) -> None:
    task = TaskConfig(
        name="e", text=["s"], entities=["person"], prompts=["e:"], metrics=["entity_f1"], headline="entity_f1"
    )
    sizes = {"d_model": 16, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 2, "num_decoder_layers": 2}
    teacher = make(scratch_config(Architecture.t5, sizes=sizes), context("teacher", task=task))
    student = make(layers_of([1]), context("student", task=task, teacher=teacher))
    assert isinstance(student.model, AnswerT5)
    assert student.model.config.entities == ["person"]
    batch = student.tokenizer("the cat", return_tensors="pt")
    model: Any = student.model
    assert model.generate(**batch, max_new_tokens=3).shape[0] == 1


def test_a_t5_whose_parts_differ_in_depth_is_refused(context: Context) -> None:
    teacher = t5(context, num_decoder_layers=2)
    with pytest.raises(ModelError, match=r"3 layers in its encoder and 2 in its decoder, and student\.layers"):
        make(layers_of([0]), context(teacher=teacher))


def test_layers_without_a_source_are_refused(context: Context) -> None:
    with pytest.raises(ModelError, match=r"student=layers_of.*student\.path=FOLDER"):
        make(layers_of([0]), context())


def test_selected_layers_are_renumbered_and_other_weights_stay() -> None:
    state = {f"x.encoder.layer.{i}.w": torch.tensor(i) for i in range(12)} | {"x.pooler.w": torch.tensor(-1)}
    selected = from_layers.select(state, [11, 1], families.layer_pattern(BertConfig()))
    assert {name: int(tensor) for name, tensor in selected.items()} == {
        "x.encoder.layer.0.w": 11,
        "x.encoder.layer.1.w": 1,
        "x.pooler.w": -1,
    }
