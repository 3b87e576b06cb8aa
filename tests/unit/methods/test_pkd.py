"""Patient distillation: pairs of layers, the error by hand, and the step."""

import math
from typing import Any

import pytest
import torch

from kdrun import losses
from kdrun.errors import ModelError
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Turn
from kdrun.methods.pkd import PKD, LayerChoice, PKDConfig, direction_error, patient_pairs
from tests.helpers.tiny_encoders import CLASSES, SCORE, batch, model
from tests.helpers.tiny_families import config_of, random_model, tokenizer_of

pytestmark = pytest.mark.usefixtures("run_env")


def pkd(width: int = 8, task: Any = CLASSES, **settings: Any) -> PKD:
    """A student of 2 layers, and a frozen teacher of 4 layers × 16."""
    roles = {
        "student": model(2, width, 2, "sdpa", task.num_outputs),
        "teacher": model(4, 16, 4, "sdpa", task.num_outputs).requires_grad_(False),
    }
    loss = losses.logit_mse if task.is_regression else losses.kl_divergence
    context = MethodContext(roles, task, loss, losses.hard_loss(task.is_regression), 1, torch.device("cpu"))
    return PKD(PKDConfig(**settings), context)


@pytest.mark.parametrize(
    ("layers", "student", "teacher", "expected"),
    [
        ("skip", 6, 12, [2, 4, 6, 8, 10]),  # PKD-Skip of the paper
        ("last", 6, 12, [7, 8, 9, 10, 11]),  # PKD-Last of the paper
        ("skip", 3, 12, [4, 8]),
        ("last", 3, 12, [10, 11]),
        ("skip", 4, 6, [2, 3, 5]),  # 1.5 and 4.5 are rounded up
        ("skip", 3, 3, [1, 2]),
        ("last", 3, 3, [1, 2]),
        ("skip", 1, 4, [4]),
    ],
)
def test_the_layers_of_the_teacher(layers: str, student: int, teacher: int, expected: list[int]) -> None:
    pairs = patient_pairs(LayerChoice(layers), student, teacher)
    assert [j for j, _ in pairs] == list(range(1, max(student, 2)))
    assert [layer for _, layer in pairs] == expected


@pytest.mark.parametrize(("student", "teacher"), [(0, 12), (7, 6)])
def test_depths_without_a_pair_are_refused(student: int, teacher: int) -> None:
    text = f"{student} layers and the teacher {teacher}: .* 1 to {teacher} layers"
    with pytest.raises(ModelError, match=text):
        patient_pairs(LayerChoice.skip, student, teacher)


def test_the_error_of_directions_by_hand() -> None:
    student, teacher = torch.tensor([[3.0, 4.0], [2.0, 0.0]]), torch.tensor([[0.0, 5.0], [7.0, 0.0]])
    # (0.6, 0.8) − (0, 1) = (0.6, −0.2): 0.4 / 2; equal directions of other lengths: 0
    torch.testing.assert_close(direction_error(student, teacher), torch.tensor([0.2, 0.0]))
    opposite = direction_error(torch.tensor([[1.0, 0.0]]), torch.tensor([[-3.0, 0.0]]))
    assert opposite.item() == pytest.approx(4 / 2)


@pytest.mark.parametrize("task", [CLASSES, SCORE])
@pytest.mark.parametrize("width", [8, 16])
def test_the_loss_of_a_step(width: int, task: Any) -> None:
    method, examples = pkd(width, task, layers=LayerChoice.last), batch([5, 3, 4], 5)
    examples.teacher_logits = torch.randn(3, task.num_outputs)
    examples.labels = torch.tensor([0, 1, 1]) if task is CLASSES else torch.tensor([0.0, 1.0, 2.0])
    output = method.step(examples, Turn("student"))
    states = {
        role: instance(**examples.inputs[role], output_hidden_states=True).hidden_states
        for role, instance in method.roles.items()
    }
    student, teacher = states["student"][1][:, 0], states["teacher"][3][:, 0]
    if width != 16:
        assert method.projection is not None
        student = method.projection(student)
    expected = direction_error(student, teacher).sum()
    torch.testing.assert_close(output.loss_terms["patience"], expected.detach())
    hard, soft = output.loss_terms["hard"], output.loss_terms["soft"]
    torch.testing.assert_close(output.loss, 0.3 * hard + 0.7 * soft + 500 * expected)
    assert output.count == 3
    assert len(list(method.trainable("student"))) == (1 if width == 16 else 2)


def test_the_compared_layers_name_the_projection() -> None:
    for width, ending in ((16, ""), (8, ", through one learned projection 8 → 16")):
        method = pkd(width)
        ((name, text),) = PKD.compared_layers(method.config, method.roles["student"], method.roles["teacher"])
        assert (name, text) == ("states of [CLS]", f"1–2 (1: after the first layer){ending}")


def test_a_model_that_reads_the_end_of_a_text_is_refused() -> None:
    decoder = random_model(config_of("gpt2", tokenizer_of("gpt2")))
    with pytest.raises(ModelError, match=r"the student \(GPT2ForSequenceClassification\) reads the end of a text"):
        PKD.compared_layers(PKDConfig(), decoder, decoder)


def test_the_soft_loss_at_a_temperature_by_hand() -> None:
    """T² · KL of (3/4, 1/4) and (1/2, 1/2), which the logits give at T = 2."""
    method, examples = pkd(hard_weight=0, soft_weight=1, patience_weight=0, temperature=2), batch([4], 4)
    student: Any = method.roles["student"]
    for parameter in student.classifier.parameters():
        torch.nn.init.zeros_(parameter)
    examples.teacher_logits, examples.labels = torch.tensor([[2 * math.log(3), 0.0]]), torch.tensor([0])
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert method.step(examples, Turn("student")).loss.item() == pytest.approx(expected)
