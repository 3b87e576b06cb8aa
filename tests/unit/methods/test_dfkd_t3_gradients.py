"""The generator's gradient in DFKD-T3, against finite differences and a full sum."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot, relu, softplus

from benchmarks.reference_steps import divergence
from kdrun import losses, rng
from kdrun.config.task import TaskConfig
from kdrun.generation import gumbel, reinforce, soft_tokens, t5_sampling
from kdrun.methods.dfkd_t3 import DFKDT3, Gradient, Mode, Specificity
from tests.helpers.tiny_dfkd import GENERATOR, OFF, PAIR, SINGLE, VOCAB, WAYS, answers, batch, build_method


@pytest.fixture
def in_double(monkeypatch: pytest.MonkeyPatch) -> Callable[[DFKDT3], DFKDT3]:
    """All models in double precision, so that two ways to one gradient differ by the mathematics alone."""
    monkeypatch.setattr(Tensor, "float", lambda self: self)

    def doubled(method: DFKDT3) -> DFKDT3:
        for role in method.roles.values():
            role.double()
        return method

    return doubled


def lacking(kind: Specificity, teacher: Tensor, target: Tensor) -> Tensor:
    """Of two classes, in other words than kdrun's: softplus of, or a hinge on, the difference of their logits."""
    ahead = teacher[:, 0].sub(teacher[:, 1]) * (1 - 2 * target)
    return softplus(-ahead) if kind is Specificity.cross_entropy else relu(6.0 - ahead)


@pytest.mark.parametrize("kind", Specificity)
@pytest.mark.parametrize("task", [SINGLE, PAIR], ids=["single", "pair"])
@pytest.mark.parametrize("teacher", ["encoder", "t5"])
def test_the_generators_turn_is_the_textbooks(
    task: TaskConfig, teacher: str, kind: Specificity, in_double: Callable[[DFKDT3], DFKDT3]
) -> None:
    """Loss and gradient of all terms: one-hots over the whole vocabulary at every position, times whole tables."""
    settings: dict[str, Any] = {
        "specificity_weight": 0.7,
        "specificity": kind,
        "class_balance_weight": 0.9,
        "token_diversity_weight": 0.3,
        "adversarial_weight": 1.1,
        "reference_kl_weight": 0.4,
        "gumbel_temperature": 2.0,
        "gumbel_temperature_end": 0.5,
    }
    method = in_double(build_method(task, teacher, **settings))
    with torch.no_grad():
        method.roles["reference"].lm_head.weight.add_(0.3)  # pyright: ignore
    examples = batch(method, progress=0.5)
    out = method.step(examples, GENERATOR)
    out.loss.backward()
    gradients = {name: p.grad for name, p in method.roles["generator"].named_parameters() if p.grad is not None}
    method.roles["generator"].zero_grad()

    text = method.text_generator.generate(examples, method.target_classes(examples), temperature=1.0)
    free = torch.ones(VOCAB, dtype=torch.bool)
    free[method.text_generator.special_ids.banned] = False
    logits = text.logits
    noise = gumbel.gumbel_noise(len(logits), VOCAB, rng.numpy_stream(1, "write", "train", 0), torch.device("cpu"))
    soft = (logits + noise).softmax(dim=-1)  # τ half way between 2 and ½ is 1
    y = one_hot(soft.argmax(dim=-1), VOCAB) - soft.detach() + soft
    reader_inputs = method.text_generator.encode_for_readers(examples, text)
    role_logits = {}
    for role, reading in reader_inputs.items():
        assert reading.mask is not None
        model: Any = method.roles[role]
        ids = one_hot(reading.inputs["input_ids"], VOCAB).to(y.dtype)
        ids = ids.masked_scatter(reading.mask[..., None], y)
        rest = {name: value for name, value in reading.inputs.items() if name != "input_ids"}
        role_logits[role] = model(inputs_embeds=ids @ model.get_input_embeddings().weight, **rest).logits
    rows, targets = len(examples.ids), method.target_classes(examples)
    specific = lacking(kind, role_logits["teacher"], targets).sum()
    mean = role_logits["teacher"].softmax(-1).mean(0)
    imbalance = rows * (mean * (2 * mean).log()).sum()
    words = logits[:, free].softmax(-1).mean(0)
    repetition = rows * (words * (int(free.sum()) * words).log()).sum()
    p, q = (part[:, free].log_softmax(-1) for part in (logits, text.rescore_with(method.roles["reference"])))
    by_token = (p.exp() * (p - q)).sum(-1)
    reference_kl = torch.stack([by_token[text.rows == row].mean() for row in range(rows)]).sum()
    disagreement = divergence(role_logits["student"], role_logits["teacher"])
    loss = 0.7 * specific + 0.9 * imbalance + 0.3 * repetition - 1.1 * disagreement + 0.4 * reference_kl
    torch.testing.assert_close(out.loss, loss, rtol=1e-5, atol=1e-5)
    loss.backward()
    for name, p in method.roles["generator"].named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(gradients[name], p.grad, rtol=1e-5, atol=1e-5)
    expected = {"specificity": specific, "imbalance": imbalance, "repetition": repetition, "divergence": disagreement,
                "language": reference_kl}  # fmt: skip
    assert set(out.loss_terms) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(out.loss_terms[name], value.detach(), rtol=1e-4, atol=1e-5)
    assert float(out.metrics["gumbel_temperature"]) == pytest.approx(rows * 1.0)


@pytest.mark.parametrize("settings", WAYS)
def test_the_relaxed_path_against_finite_differences(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, in_double: Callable[[DFKDT3], DFKDT3]
) -> None:
    """With soft tokens in the values too the loss is smooth, and its gradient is the slope."""
    monkeypatch.setattr(soft_tokens, "straight_through", lambda table, ids, soft: soft[:, : len(table)] @ table)
    weights: dict[str, Any] = OFF | {"specificity_weight": 1.0, "adversarial_weight": 0.5}
    method = in_double(build_method(**settings, **weights, gumbel_temperature=3.0))
    examples = batch(method)
    if settings["mode"] is Mode.decode:  # how long texts are is discrete
        monkeypatch.setattr(method.text_generator, "style", type(method.text_generator.style)(6, 6))

    def loss() -> Tensor:
        return method.step(examples, GENERATOR).loss

    generator = method.roles["generator"]
    loss().backward()
    checked = 0
    for name in ("shared.weight", "decoder.block.0.layer.2.DenseReluDense.wi.weight"):
        p = generator.get_parameter(name)
        assert p.grad is not None
        for place in p.grad.abs().flatten().topk(3).indices.tolist():
            with torch.no_grad():
                slopes, step = [], 1e-4
                p.view(-1)[place] += step
                slopes.append(float(loss()))
                p.view(-1)[place] -= 2 * step
                slopes.append(float(loss()))
                p.view(-1)[place] += step
            slope = (slopes[0] - slopes[1]) / (2 * step)
            assert float(p.grad.view(-1)[place]) == pytest.approx(slope, rel=2e-2)
            checked += abs(slope) > 1e-3
    assert checked == 6


@pytest.mark.parametrize("other_vocabulary", [False, True], ids=["shared", "separate"])
@pytest.mark.parametrize("settings", WAYS)
def test_the_score_functions_turn_is_reward_times_log_probability(
    settings: dict[str, Any], other_vocabulary: bool
) -> None:
    weights = {"specificity_weight": 0.7, "class_balance_weight": 0.9, "token_diversity_weight": 0.0,
               "adversarial_weight": 1.1, "reference_kl_weight": 0.0}  # fmt: skip
    method = build_method(
        other_vocabulary=other_vocabulary,
        gradient=Gradient.score if not other_vocabulary else Gradient.auto,
        **weights,
        **settings,
    )
    examples = batch(method)
    out = method.step(examples, GENERATOR)
    out.loss.backward()
    gradient = method.roles["generator"].get_parameter("shared.weight").grad
    assert gradient is not None
    gradient = gradient.clone()
    method.roles["generator"].zero_grad()

    generated = method.text_generator.generate(examples, method.target_classes(examples))
    text = method.generate_text(examples)
    assert torch.equal(text.ids, generated.ids)
    generator_tokenizer = method.context.tokenizers["generator"]
    words = [
        generator_tokenizer.decode_texts(ids[here].tolist(), 1)
        for ids, here in zip(text.ids, text.present, strict=True)
    ]
    with torch.no_grad():
        teacher, student = answers(method, {role: method.context.tokenizers[role].batch(words) for role in text.inputs})
    shares = teacher.softmax(-1)
    specific = lacking(method.config.specificity, teacher, method.target_classes(examples))
    apart_by = losses.kl_divergence(student, teacher)
    reward = -0.7 * specific - 0.9 * (shares * shares.mean(0).log()).sum(-1) + 1.1 * apart_by
    loss = -((reward - reward.mean()) * generated.log_prob).sum()
    loss.backward()
    expected = method.roles["generator"].get_parameter("shared.weight").grad
    assert expected is not None
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
    assert expected.abs().max() > 1e-2
    torch.testing.assert_close(out.metrics["reward"], reward.sum(), rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for role in ("teacher", "student") for p in method.roles[role].parameters())


@pytest.mark.parametrize("way", ["infill", "decode"])
def test_over_all_texts_that_can_be_written_its_expectation_is_the_exact_gradient(way: str) -> None:
    """Every filling of two gaps, or every text of at most two words: probabilities sum to 1, gradients agree."""
    method = build_method()
    method.roles["generator"].get_parameter("shared.weight").data.mul_(0.3)
    marks, generator = method.text_generator.special_ids, method.roles["generator"]
    free = [i for i in range(VOCAB) if i not in marks.banned.tolist()]
    if way == "infill":
        texts = torch.cartesian_prod(torch.tensor(free), torch.tensor(free))
        source = method.context.tokenizers["generator"].batch([("c d e f g",)])
        mask = torch.tensor([[False, True, False, True, False, False]])
        prompt = {"input_ids": torch.tensor([[31, 29]]), "attention_mask": torch.ones(1, 2).long()}
        text = t5_sampling.infill(generator, source, mask, prompt, marks, rng.numpy_stream(1, "w"))
        both = text.logits.log_softmax(-1)
        log_p = both[0, texts[:, 0]] + both[1, texts[:, 1]]
        index = texts.tolist().index(text.generated_ids.tolist())
        torch.testing.assert_close(text.log_prob[0], log_p[index])
    else:
        lengths = t5_sampling.LengthLimits(1, 2)
        one = torch.tensor([[i, marks.start] for i in free])
        texts = torch.cat([one, torch.cartesian_prod(torch.tensor(free), torch.tensor(free))])
        source = torch.tensor([[4, 5, 24, 2]]).expand(len(texts), -1)
        present = torch.ones_like(texts, dtype=torch.bool)
        # what ends a text after its first word is one more choice of the second step
        logits = t5_sampling.decoded_logits(generator, source, torch.ones_like(source), texts, present, marks, lengths)
        steps = logits.view(len(texts), 2, VOCAB).log_softmax(-1)
        second = torch.where(torch.arange(len(texts)) < len(free), marks.end, texts[:, 1])
        rows = torch.arange(len(texts))
        log_p = steps[rows, 0, texts[:, 0]] + steps[rows, 1, second]
    assert float(log_p.exp().sum().detach()) == pytest.approx(1, abs=1e-5)
    reward = torch.sin(texts.sum(dim=1).float()) + (texts[:, 0] == 9)
    weight = generator.get_parameter("shared.weight")
    exact = torch.autograd.grad((log_p.exp() * reward).sum(), weight, retain_graph=True)[0]
    for baseline in (0.0, 0.7):
        by_score = (log_p.exp().detach() * reinforce.reinforce_loss(log_p, reward, baseline)).sum()
        gradient = torch.autograd.grad(by_score, weight, retain_graph=True)[0]
        torch.testing.assert_close(-gradient, exact, rtol=1e-4, atol=1e-5)
    assert exact.abs().max() > 1e-2
