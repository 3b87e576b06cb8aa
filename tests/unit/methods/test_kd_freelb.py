"""FreeLB around KD: the ascent by hand, the ball, and one pass."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from kdrun import losses
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext
from kdrun.methods.kd_freelb import KDFreeLB, KDFreeLBConfig, ascend
from kdrun.methods.phases import Turn

TASK = TaskConfig(name="sst2", labels=["a", "b"], metrics=["accuracy"], headline="accuracy")
TURN = Turn("student")


def build_method(**settings: Any) -> KDFreeLB:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(BertConfig(vocab_size=30, pad_token_id=0, **sizes)).eval()  # pyright: ignore
    for p in model.parameters():
        p.data.mul_(4)
    parts = MethodContext(
        {"student": model}, TASK, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu")
    )
    return KDFreeLB(KDFreeLBConfig(**settings), parts)


def batch(rows: slice = slice(None)) -> Batch:
    torch.manual_seed(3)
    ids = torch.randint(4, 30, (4, 6))
    ids[1, 4:] = 0
    inputs = {"input_ids": ids[rows], "attention_mask": ids[rows].ne(0).long()}
    labels, taught = torch.tensor([0, 1, 1, 0]), torch.randn(4, 2)
    return Batch(torch.arange(4)[rows], {"student": inputs}, labels[rows], taught[rows], "train", 0)


def kd_loss(method: KDFreeLB, examples: Batch, logits: Tensor) -> Tensor:
    hard, soft = method._terms(examples, logits)
    return 0.5 * hard + 0.5 * soft


def test_one_pass_without_noise_is_kd() -> None:
    method, examples = build_method(passes=1, init_magnitude=0.0), batch()
    logits = method.roles["student"](**examples.inputs["student"]).logits
    torch.testing.assert_close(method.step(examples, TURN).loss, kd_loss(method, examples, logits))


def test_two_passes_are_the_mean_of_both_losses_with_the_noise_moved_between() -> None:
    method, examples = build_method(max_norm=0.0), batch()
    student: Any = method.roles["student"]
    inputs = dict(examples.inputs["student"])
    embeds = student.get_input_embeddings()(inputs.pop("input_ids"))
    noise = method._initial_noise(examples, embeds).requires_grad_(True)
    first = kd_loss(method, examples, student(inputs_embeds=embeds + noise, **inputs).logits)
    (g,) = torch.autograd.grad(first, noise, retain_graph=True)
    shifted = (noise + 0.1 * g / g.flatten(1).norm(dim=1)[:, None, None]).detach()
    second = kd_loss(method, examples, student(inputs_embeds=embeds + shifted, **inputs).logits)
    out = method.step(examples, TURN)
    torch.testing.assert_close(out.loss, (first + second) / 2)
    assert second > first  # it did climb
    expected = torch.autograd.grad((first + second) / 2, student.classifier.weight)[0]
    torch.testing.assert_close(torch.autograd.grad(out.loss, student.classifier.weight)[0], expected)


def test_noise_is_zero_on_padding_and_of_the_stated_size() -> None:
    method, examples = build_method(), batch()
    noise = method._initial_noise(examples, torch.zeros(4, 6, 16))
    assert not noise[1, 4:].any()
    assert noise.abs().amax() <= 0.6 / (4 * 16) ** 0.5
    assert noise[0].abs().amax() <= 0.6 / (6 * 16) ** 0.5


def test_the_ball_bounds_each_example_separately() -> None:
    noise = torch.zeros(2, 3, 4)
    noise[0, 0, 0] = 5.0
    gradient = torch.ones(2, 3, 4)
    shifted = ascend(noise, gradient, 0.1, 0.5)
    assert float(shifted[0].norm()) == pytest.approx(0.5)
    assert float(shifted[1].norm()) == pytest.approx(0.1)
    assert float(ascend(noise, gradient, 0.1, 0.0)[0].norm()) > 5
    assert torch.equal(ascend(noise, torch.zeros(2, 3, 4), 0.1, 0.0), noise)
