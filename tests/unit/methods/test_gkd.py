"""Generalized distillation: loss and gradient against an independent formula, answers, on-policy steps."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from kdrun import losses
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch, StepPosition
from kdrun.data.target_sequences import shift_right
from kdrun.generation.decoding import greedy_decode
from kdrun.methods.base import MethodContext
from kdrun.methods.gkd import GKD, GKDConfig, SamplingConfig
from kdrun.methods.kd import KD, KDConfig
from kdrun.methods.phases import Turn
from kdrun.models.t5_seq2seq import AnswerT5
from tests.helpers.tiny_t5 import END, PAD, rows, t5

TASK = TaskConfig(name="names", entities=["person"], metrics=["entity_f1"], headline="entity_f1", answer_tokens=12)
TURN, T, BETA = Turn("student"), 1.7, 0.3
GOLD = torch.tensor([[5, 9, END, -100], [7, 8, 11, 6]])  # the second answer is truncated before its end


def model(seed: int) -> AnswerT5:
    """A tiny T5 in float64, without dropout, whose rows of `rows()` have different answers."""
    plain = t5(seed)
    config = T5Config.from_dict(plain.config.to_dict() | {"dropout_rate": 0.0})
    answers = AnswerT5(config)
    answers.load_state_dict(plain.state_dict())
    return answers.double().train()


def gkd(loss: Any = losses.kl_divergence, **settings: Any) -> GKD:
    roles = {"student": model(22), "teacher": model(3).requires_grad_(False).eval()}
    return GKD(GKDConfig(**settings), context(roles, loss))


def context(roles: dict[str, Any], loss: Any) -> MethodContext:
    per_token, device = losses.per_token(loss), torch.device("cpu")
    return MethodContext(roles, TASK, per_token, losses.token_cross_entropy, 1, device)


def batch(part: slice = slice(None), step: int = 0) -> Batch:
    labels, decoder_ids = shift_right(GOLD.clamp(min=PAD), GOLD != -100, PAD)
    inputs = {name: values[part] for name, values in rows().items()} | {"decoder_input_ids": decoder_ids[part]}
    position = StepPosition(step, 0, 10, lambda *_: batch())
    roles = {"student": dict(inputs), "teacher": dict(inputs)}
    return Batch(torch.tensor([40, 7])[part], roles, labels[part], phase="train", position=position)


def probabilities(answers: AnswerT5, row: int, answer: list[int]) -> Tensor:
    """Distributions at each token of an answer from a plain T5, without padding and with T, [tokens, vocabulary]."""
    length = int(rows()["attention_mask"][row].sum())
    ids = rows()["input_ids"][row : row + 1, :length]
    plain: Any = T5ForConditionalGeneration.forward
    logits = plain(answers, input_ids=ids, decoder_input_ids=torch.tensor([[PAD, *answer[:-1]]])).logits[0]
    weights = (logits / T).exp()
    return weights / weights.sum(dim=-1, keepdim=True)


def expected_loss(method: GKD, answers: list[list[int]]) -> Tensor:
    """T² · JSD, token by token with sums over the vocabulary written out."""
    student, teacher = (method.roles[role] for role in ("student", "teacher"))
    assert isinstance(student, AnswerT5)
    assert isinstance(teacher, AnswerT5)
    total = torch.zeros((), dtype=torch.float64)
    for row, answer in enumerate(answers):
        q, p = probabilities(student, row, answer), probabilities(teacher, row, answer)
        mixture = BETA * p + (1 - BETA) * q
        jsd = BETA * (p * (p / mixture).log()).sum(-1) + (1 - BETA) * (q * (q / mixture).log()).sum(-1)
        total = total + T**2 * jsd.sum() / len(answer)
    return total


def jsd(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return losses.jensen_shannon(student, teacher, temperature, teacher_share=BETA)


def gradients(loss: Tensor, method: GKD) -> dict[str, Tensor]:
    method.roles["student"].zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in method.roles["student"].named_parameters() if p.grad is not None}


def answers_of(ids: Tensor) -> list[list[int]]:
    answers = [row.tolist() for row in ids]
    return [answer[: answer.index(END) + 1] if END in answer else answer for answer in answers]


@pytest.mark.parametrize("on_policy", [0.0, 1.0])
def test_loss_and_gradient_equal_an_independent_formula(on_policy: float) -> None:
    method = gkd(jsd, on_policy=on_policy, temperature=T)
    answers, examples = [[5, 9, END], [7, 8, 11, 6]], batch()
    if on_policy:
        answers = answers_of(method.write_answers(examples)[0])
        assert len({len(answer) for answer in answers}) == 2
    output = method.step(examples, TURN)
    loss = expected_loss(method, answers)
    assert output.count == 2
    assert list(output.loss_terms) == ["on_policy" if on_policy else "soft"]
    torch.testing.assert_close(output.loss, loss, rtol=1e-10, atol=0)
    computed, expected = gradients(output.loss, method), gradients(loss, method)
    assert computed.keys() == expected.keys()
    assert len(expected) > 10
    for name, gradient in expected.items():
        torch.testing.assert_close(computed[name], gradient, rtol=1e-8, atol=1e-12)


def test_supervised_steps_are_those_of_kd() -> None:
    method, examples = gkd(on_policy=0, hard_weight=0.5, temperature=2.0), batch()
    output = method.step(examples, TURN)
    with torch.no_grad():
        examples.teacher_logits = method.roles["teacher"](**examples.inputs["teacher"]).logits
    kd = KD(
        KDConfig(soft_weight=1.0, hard_weight=0.5, temperature=2.0), context(dict(method.roles), losses.kl_divergence)
    )
    expected = kd.step(examples, TURN)
    torch.testing.assert_close(output.loss, expected.loss)
    assert output.loss_terms == expected.loss_terms


def test_answers_depend_on_seed_step_and_row_only() -> None:
    method = gkd(sampling=SamplingConfig(temperature=4, top_p=0.95))
    together, _ = method.write_answers(batch())
    for row in range(2):
        alone, _ = method.write_answers(batch(slice(row, row + 1)))
        assert answers_of(alone) == answers_of(together[row : row + 1])
    assert torch.equal(method.write_answers(batch())[0], together)
    assert not torch.equal(method.write_answers(batch(step=1))[0], together)
    assert method.roles["student"].training


def test_gradients_of_single_rows_add_up() -> None:
    method = gkd(on_policy=1)
    whole = gradients(method.step(batch(), TURN).loss, method)
    parts = [gradients(method.step(batch(slice(i, i + 1)), TURN).loss, method) for i in range(2)]
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], gradient, rtol=1e-8, atol=1e-12)


def test_temperature_zero_writes_greedily() -> None:
    method = gkd(sampling=SamplingConfig(temperature=0))
    ids, ended = method.write_answers(batch())
    greedy, greedy_ended = greedy_decode(method.roles["student"], rows(), TASK.answer_tokens)
    assert torch.equal(ids, greedy)
    output = gkd(on_policy=1, sampling=SamplingConfig(temperature=0)).step(batch(), TURN)
    assert output.metrics["unfinished"].item() == int((~greedy_ended).sum())
    assert torch.equal(ended, greedy_ended)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.3, 0.5, 1.0])
def test_share_of_on_policy_steps_is_exact(share: float) -> None:
    method = gkd(on_policy=share)
    steps = [method.is_on_policy(step) for step in range(200)]
    assert all(abs(sum(steps[start : start + 20]) - 20 * share) < 1 for start in range(180))
    assert sum(steps) == round(200 * share)


def test_settings_without_an_effect_are_refused() -> None:
    (problem,) = GKD.config_problems(GKDConfig(on_policy=1, hard_weight=0.5), TASK)
    assert "method.hard_weight=0.5" in problem
    assert "method.on_policy=1" in problem
    (problem,) = GKD.config_problems(GKDConfig(sampling=SamplingConfig(temperature=0, top_p=0.5)), TASK)
    assert "method.sampling.top_p=0.5" in problem
    assert "method.sampling.temperature=0" in problem
    assert GKD.config_problems(GKDConfig(), TASK) == []
