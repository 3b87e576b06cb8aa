"""Contrastive distillation: the loss by hand, and the step with its memory banks."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from kdrun import losses
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext
from kdrun.methods.crd import CRD, CRDConfig, Negatives, contrastive_loss, make_embedding
from kdrun.methods.phases import Turn
from tests.helpers.tiny_encoders import CLASSES, SCORE, batch, model

pytestmark = pytest.mark.usefixtures("run_env")
STUDENT = Turn("student")


def crd(task: Any = CLASSES, **settings: Any) -> CRD:
    """A student of 2 layers × 8 and a frozen teacher of 4 layers × 16, on 6 rows."""
    roles = {
        "student": model(2, 8, 2, "sdpa", task.num_outputs),
        "teacher": model(4, 16, 4, "sdpa", task.num_outputs).requires_grad_(False),
    }
    loss = losses.logit_mse if task.is_regression else losses.kl_divergence
    hard = losses.hard_loss(task.is_regression)
    context = MethodContext(roles, task, loss, hard, 1, torch.device("cpu"), num_rows=6)
    return CRD(CRDConfig(**{"embedding_size": 4, "contrast_temperature": 0.5, **settings}), context)


def rows(start: int, stop: int, task: Any = CLASSES) -> Batch:
    """Rows of a range, with labels 0, 1, 0, 1 … and logits of the teacher."""
    examples = batch([5, 3, 4, 5, 2, 4], 5)
    inputs = {role: {k: v[start:stop] for k, v in values.items()} for role, values in examples.inputs.items()}
    labels = torch.arange(6)[start:stop] % 2
    logits = torch.randn(6, task.num_outputs, generator=torch.Generator().manual_seed(0))[start:stop]
    return Batch(examples.ids[start:stop], inputs, labels.float() if task is SCORE else labels, logits, "train")


def test_the_loss_by_hand() -> None:
    """With N = 2, e⁺ = 6 gives h = 6/8; e⁻ = 2 gives 1 − h = 1/2, e⁻ = 6 gives 1/4."""
    positive, negative = torch.tensor([6.0, 6.0]).log(), torch.tensor([[2.0, 6.0], [2.0, 6.0]]).log()
    both = -math.log(6 / 8) - math.log(1 / 2) - math.log(1 / 4)
    one = -math.log(6 / 8) - 2 * math.log(1 / 2)  # a single negative counts for N
    allowed = torch.tensor([[True, True], [True, False]])
    torch.testing.assert_close(contrastive_loss(positive, negative, allowed, 2), torch.tensor([both, one]))
    none = contrastive_loss(positive, negative, torch.zeros(2, 2, dtype=torch.bool), 2)
    torch.testing.assert_close(none, torch.full((2,), -math.log(6 / 8)))


def test_the_gradient_is_the_numeric_one() -> None:
    generator = torch.Generator().manual_seed(0)
    positive = torch.randn(3, generator=generator).double().requires_grad_()
    negative = torch.randn(3, 4, generator=generator).double().requires_grad_()
    allowed = torch.rand(3, 4, generator=generator) > 0.3
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, allowed, 4), (positive, negative))


@torch.no_grad()
def written_out(method: CRD, examples: Batch) -> Tensor:
    """C_S + C_T of each row, one pair of vectors at a time; all rows are drawn."""
    states = {
        role: instance(**examples.inputs[role], output_hidden_states=True).hidden_states[-1][:, 0]
        for role, instance in method.roles.items()
    }
    total, count, tau = torch.zeros(len(examples.ids)), 6, method.config.contrast_temperature
    for role, other in (("student", "teacher"), ("teacher", "student")):
        for i, row in enumerate(examples.ids.tolist()):
            vector = method.embeddings[role](states[role][i])
            vector = vector / vector.square().sum().sqrt()
            e = [math.exp(float(vector @ b) / tau - method.log_z) for b in method.bank.entries[other]]
            others = [j for j in range(count) if j != row and method.bank.classes[j] != row % 2]
            total[i] -= math.log(e[row] / (e[row] + count))
            total[i] -= count / len(others) * sum(math.log(count / (e[j] + count)) for j in others)
    return total


def test_the_loss_of_a_step_with_the_classes_seen_so_far() -> None:
    method = crd()
    for start, stop in ((0, 3), (1, 5)):
        examples = rows(start, stop)
        expected = written_out(method, examples).sum()
        output = method.step(examples, STUDENT)
        method.on_step_end(STUDENT)
        torch.testing.assert_close(output.loss_terms["contrast"], expected, rtol=1e-4, atol=1e-4)
        hard, soft = output.loss_terms["hard"], output.loss_terms["soft"]
        torch.testing.assert_close(output.loss.detach(), hard + soft + 0.8 * output.loss_terms["contrast"])
    assert method.bank.classes.tolist() == [0, 1, 0, 1, 0, -1]
    assert len(list(method.trainable("student"))) == 3


@pytest.mark.parametrize(("task", "num_negatives"), [(CLASSES, 3), (SCORE, 10)])
def test_micro_batches_add_up_to_the_whole_batch(task: Any, num_negatives: int) -> None:
    whole, parts = (crd(task, num_negatives=num_negatives) for _ in range(2))
    outputs = [whole.step(rows(0, 5, task), STUDENT)]
    outputs += [parts.step(rows(start, stop, task), STUDENT) for start, stop in ((0, 2), (2, 5))]
    torch.testing.assert_close(outputs[0].loss, outputs[1].loss + outputs[2].loss)
    for method in (whole, parts):
        method.on_step_end(STUDENT)
    for name, value in whole.state().items():
        torch.testing.assert_close(value, parts.state()[name])


def test_classes_do_not_count_where_there_are_none() -> None:
    for method in (crd(SCORE), crd(negatives=Negatives.other_rows)):
        method.step(rows(0, 4, method.context.task), STUDENT)
        method.on_step_end(STUDENT)
        assert method.bank.classes.tolist() == [-1] * 6


def test_embeddings_are_initialized_like_linear_layers() -> None:
    layer, other = (make_embedding(16, 64, 1, role) for role in ("student", "teacher"))
    assert 0.23 < float(layer.weight.detach().abs().max()) <= 0.25
    assert not torch.equal(layer.weight, other.weight)


def test_the_compared_states() -> None:
    method = crd()
    ((name, text),) = CRD.compared_layers(method.config, method.roles["student"], method.roles["teacher"])
    assert name == "states of [CLS]"
    assert text == "2–4 (1: after the first layer), through two learned embeddings 8 → 4 and 16 → 4"
