"""FreeLB around KD: the ascent by hand, the ball, and one pass."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from kdrun import losses, rng
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
    hard, soft = method._terms(examples, logits, None)
    return 0.5 * hard + 0.5 * soft


def test_one_pass_without_noise_is_kd() -> None:
    method, examples = build_method(passes=1, init_magnitude=0.0), batch()
    logits = method.roles["student"](**examples.inputs["student"]).logits
    torch.testing.assert_close(method.step(examples, TURN).loss, kd_loss(method, examples, logits))


def test_temperature_and_weights_are_those_of_kd() -> None:
    settings = {"temperature": 4.0, "temperature_end": 1.0, "confidence_weight": 2.0}
    method = build_method(passes=1, init_magnitude=0.0, **settings)
    examples = replace(batch(), progress=0.5)
    assert examples.teacher_logits is not None
    assert examples.labels is not None
    logits = method.roles["student"](**examples.inputs["student"]).logits
    weights = examples.teacher_logits.softmax(dim=-1).gather(1, examples.labels[:, None])[:, 0] ** 2
    soft = 2.5**2 * (weights * losses.kl_divergence(logits, examples.teacher_logits, 2.5)).sum()
    output = method.step(examples, TURN)
    torch.testing.assert_close(output.loss_terms["soft"], soft.detach())
    torch.testing.assert_close(output.metrics["confidence"], weights.sum())


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


def by_the_authors_loop(method: KDFreeLB, examples: Batch) -> list[Tensor]:
    """The noise of each pass; parameter gradients of K losses, each divided by K, add up in `.grad`."""
    c, student = method.config, method.roles["student"]
    inputs = dict(examples.inputs["student"])
    ids, present = inputs.pop("input_ids"), inputs["attention_mask"][..., None].float()
    stream = rng.stream(1, "noise", "train", 0)
    tokens = present.sum(dim=1, keepdim=True)
    delta = (torch.rand(4, 6, 16, generator=stream) * 2 - 1) * present * c.init_magnitude / (tokens * 16).sqrt()
    deltas = []
    for step in range(c.passes):
        deltas.append(delta.clone())
        delta.requires_grad_(True)
        rng.seed_dropout(rng.derive(1, "dropout", "train/freelb", 0), torch.device("cpu"))
        embeds: Tensor = student.get_input_embeddings()(ids)  # pyright: ignore[reportCallIssue]
        loss = kd_loss(method, examples, student(inputs_embeds=embeds + delta, **inputs).logits) / c.passes
        loss.backward()
        if step == c.passes - 1:
            break
        assert delta.grad is not None
        grad = delta.grad.clone()
        norms = grad.view(4, -1).norm(dim=1).clamp(min=1e-8).view(4, 1, 1)
        delta = (delta + c.ascent_rate * grad / norms).detach()
        sizes = delta.view(4, -1).norm(dim=1)
        too_large = (sizes > c.max_norm).float()
        delta = delta * (c.max_norm / sizes * too_large + 1 - too_large).view(4, 1, 1)
    return deltas


def test_three_passes_with_dropout_and_an_active_ball_are_the_authors_loop() -> None:
    """Gradients of every parameter, the embedding table's too, which the noise is added to."""
    method, examples = build_method(passes=3, ascent_rate=0.3, init_magnitude=0.4, max_norm=0.25), batch()
    student = method.roles["student"].train()
    deltas = by_the_authors_loop(method, examples)
    expected = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    loss = method.step(examples, TURN).loss
    loss.backward()
    gradients = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)
    table = gradients["bert.embeddings.word_embeddings.weight"]
    used = examples.inputs["student"]["input_ids"].unique()
    assert table[used[used != 0]].abs().amax(dim=1).min() > 0
    sizes = torch.stack([delta.flatten(1).norm(dim=1) for delta in deltas])
    torch.testing.assert_close(sizes[1:], torch.full((2, 4), 0.25), rtol=1e-4, atol=1e-5)  # the ball holds every row
    assert (sizes[0] < 0.25).all()
    student.eval()
    assert not torch.allclose(method.step(examples, TURN).loss, loss)  # dropout had a part in it


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
