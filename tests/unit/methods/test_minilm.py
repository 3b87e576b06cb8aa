"""Relation distillation: layers, relation heads, and the step."""

from typing import Any

import pytest
import torch

from kdrun import losses
from kdrun.errors import ModelError
from kdrun.methods.base import MethodContext
from kdrun.methods.minilm import MiniLM, MiniLMConfig
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
    value = losses.relation_divergence(expected, target, torch.ones(1, 4), 1)
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
