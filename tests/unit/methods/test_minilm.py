"""Relation distillation: the divergence by hand, layers, relation heads, and the step."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from kdrun import losses
from kdrun.errors import ModelError
from kdrun.methods.base import MethodContext
from kdrun.methods.minilm import MiniLM, MiniLMConfig, layer_of_teacher, num_relation_heads, relation_divergence
from kdrun.methods.phases import Turn
from tests.helpers.tiny_encoders import CLASSES, SCORE, batch, model

pytestmark = pytest.mark.usefixtures("run_env")


def minilm(task: Any = CLASSES, **settings: Any) -> MiniLM:
    """A student of 1 layer × 12 with 3 heads, and a frozen teacher of 3 layers × 16 with 4 heads."""
    roles = {
        "student": model(1, 12, 3, "sdpa", task.num_outputs),
        "teacher": model(3, 16, 4, "sdpa", task.num_outputs).requires_grad_(False),
    }
    loss = losses.logit_mse if task.is_regression else losses.kl_divergence
    context = MethodContext(roles, task, loss, losses.hard_loss(task.is_regression), 1, torch.device("cpu"))
    return MiniLM(MiniLMConfig(**settings), context)


def test_the_divergence_of_two_tokens_by_hand() -> None:
    a, root = math.log(3), math.sqrt(2)
    # scores of the teacher's head of width 2: [[log 3, 0], [0, log 3]]; of the student's head of width 1: all 0
    teacher = torch.tensor([[[math.sqrt(root * a), 0.0], [0.0, math.sqrt(root * a)]]])
    student = torch.zeros(1, 2, 1)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert relation_divergence(student, teacher, torch.ones(1, 2), 1).item() == pytest.approx(expected)
    # a second head on which both agree halves the mean over heads
    teacher = torch.cat([teacher, torch.zeros(1, 2, 2)], dim=-1)
    assert relation_divergence(torch.zeros(1, 2, 2), teacher, torch.ones(1, 2), 2).item() == pytest.approx(expected / 2)


def test_padding_equals_deletion_and_equal_vectors_have_no_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 5, width, generator=generator) for width in (8, 12))
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    student[0, 3:] = 1e4
    padded = relation_divergence(student, teacher, mask, 4)
    alone = relation_divergence(student[:1, :3], teacher[:1, :3], mask[:1, :3], 4)
    torch.testing.assert_close(padded[:1], alone)
    assert torch.equal(relation_divergence(teacher, teacher, mask, 4), torch.zeros(2))


def test_the_gradient_is_the_numeric_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 3, 4, generator=generator).double() for _ in range(2))
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert torch.autograd.gradcheck(
        lambda vectors: relation_divergence(vectors, teacher, mask, 2), student.requires_grad_()
    )


@pytest.mark.parametrize(
    ("depth", "layer", "expected"), [(4, None, 4), (12, None, 12), (24, None, 21), (24, 19, 19), (4, 2, 2)]
)
def test_the_layer_of_the_teacher(depth: int, layer: int | None, expected: int) -> None:
    teacher = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=depth))
    assert layer_of_teacher(MiniLMConfig(teacher_layer=layer), teacher) == expected


@pytest.mark.parametrize(
    ("requested", "student", "teacher", "expected"),
    [
        (None, 384, 768, 48),
        (None, 768, 768, 48),
        (None, 384, 1024, 64),
        (None, 768, 1024, 64),
        (None, 128, 384, 16),
        (None, 12, 16, 2),
        (None, 5, 7, 1),
        (4, 12, 16, 4),
    ],
)
def test_the_number_of_relation_heads(requested: int | None, student: int, teacher: int, expected: int) -> None:
    assert num_relation_heads(requested, student, teacher) == expected


def test_relation_heads_that_do_not_divide_a_width_are_refused() -> None:
    with pytest.raises(ModelError, match=r"method\.relation_heads=3 .* 12 and 16; take one of 1, 2, 4$"):
        minilm(relation_heads=3)


@pytest.mark.parametrize("task", [CLASSES, SCORE])
def test_the_loss_of_each_phase(task: Any) -> None:
    method, examples = minilm(task), batch([5, 3, 4], 5)
    examples.phase = "intermediate"
    terms, output = method.relation_losses(examples), method.step(examples, Turn("student"))
    assert set(output.loss_terms) == {"queries", "keys", "values"}
    torch.testing.assert_close(output.loss, torch.stack(list(terms.values())).sum())
    torch.testing.assert_close(output.loss_terms["keys"], terms["keys"].sum().detach())
    alone = method.relation_losses(batch([5, 3], 5))
    torch.testing.assert_close(alone["values"], terms["values"][:2])  # the value of a row does not depend on its batch
    examples.phase, examples.teacher_logits = "logits", torch.randn(3, task.num_outputs)
    examples.labels = torch.tensor([0, 1, 1]) if task is CLASSES else torch.tensor([0.0, 1.0, 2.0])
    output = method.step(examples, Turn("student"))
    hard, soft = output.loss_terms["hard"], output.loss_terms["soft"]
    torch.testing.assert_close(output.loss.detach(), 0.5 * hard + 0.5 * soft)


def test_the_vectors_are_those_that_the_layer_computes() -> None:
    """Relations of queries with themselves in the student's heads, from its hidden states by hand."""
    method, examples = minilm(relation_heads=1), batch([4], 4)
    student: Any = method.roles["student"]
    states = student(**examples.inputs["student"], output_hidden_states=True).hidden_states
    expected = student.bert.encoder.layer[0].attention.self.query(states[0])
    teacher: Any = method.roles["teacher"]
    states = teacher(**examples.inputs["teacher"], output_hidden_states=True).hidden_states
    target = teacher.bert.encoder.layer[2].attention.self.query(states[2])
    value = relation_divergence(expected, target, torch.ones(1, 4), 1)
    torch.testing.assert_close(method.relation_losses(examples)["queries"], value)


def test_the_compared_layers_and_a_missing_layer() -> None:
    method = minilm()
    (fact,) = MiniLM.compared_layers(method.config, method.roles["student"], method.roles["teacher"])
    assert fact == ("queries, keys, values", "1–3 (1: first layer), in 2 relation heads of 6 and 8")
    assert MiniLM.depth_mismatch(MiniLMConfig(teacher_layer=4), 1, 3) == (
        "method.teacher_layer=4: the teacher has 3 layers"
    )
    assert MiniLM.depth_mismatch(MiniLMConfig(), 5, 3) == ""
    with pytest.raises(ModelError, match="3 layers, and no layer 4"):
        minilm(teacher_layer=4)
