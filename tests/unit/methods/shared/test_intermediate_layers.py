"""Intermediate distillation: losses by hand, phases, projection, required model outputs."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdrun import losses
from kdrun.config.optim import OptimConfig
from kdrun.data.batch import Batch
from kdrun.errors import ConfigError, ModelError
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn, num_steps
from kdrun.methods.shared.intermediate_layers import (
    AttentionMaps,
    IntermediateLayerMethod,
    IntermediateSettings,
    forward_with_states,
    intermediate_losses,
    make_projection,
    student_phases,
)
from kdrun.methods.shared.layer_mapping import LayerMapping
from tests.helpers.tiny_encoders import CLASSES, SCORE, batch, method, model

PAIRS = LayerMapping(hidden=((0, 0), (1, 2)), attention=((0, 1),))
UNUSED = torch.full((1, 2, 2), torch.nan)


def affine() -> nn.Linear:
    """x → (x, 2x + 1)."""
    linear = nn.Linear(1, 2)
    linear.weight.data, linear.bias.data = torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 1.0])
    return linear


def outputs(hidden: list[Any], maps: list[Any]) -> Any:
    return SimpleNamespace(
        hidden_states=[torch.as_tensor(states) for states in hidden], attentions=[torch.as_tensor(m) for m in maps]
    )


def test_losses_by_hand() -> None:
    """States 0 and 1 of a student of width 1 become (1, 3), (2, 5) and (0, 1), (−1, −1)."""
    student = outputs([[[[1.0], [2.0]]], [[[0.0], [-1.0]]]], [[[[[1.0, 2.0], [3.0, 4.0]]]]])
    taught = [[[[0.0, 3.0], [2.0, 7.0]]], UNUSED, [[[0.0, 0.0], [0.0, 0.0]]]]
    teacher = outputs(taught, [UNUSED[:, None], [[[[1.0, 0.0], [3.0, 0.0]]]]])
    layer_terms = intermediate_losses(student, teacher, PAIRS, affine(), torch.ones(1, 2))
    # a sum over pairs of means over tokens and width: (1 + 0 + 0 + 4)/4 + (0 + 1 + 1 + 1)/4
    torch.testing.assert_close(layer_terms["hidden"], torch.tensor([2.0]))
    torch.testing.assert_close(layer_terms["attention"], torch.tensor([(0 + 4 + 0 + 16) / 4]))
    single = intermediate_losses(student, teacher, PAIRS, affine(), torch.tensor([[1, 0]]))
    torch.testing.assert_close(single["hidden"], torch.tensor([(1 + 0) / 2 + (0 + 1) / 2]))
    torch.testing.assert_close(single["attention"], torch.tensor([0.0]))


def test_maps_are_averaged_over_heads_where_their_numbers_differ() -> None:
    student = outputs([[[[1.0], [2.0]]], [[[0.0], [-1.0]]]], [[[[[1.0, 2.0], [3.0, 4.0]]]]])
    heads = torch.tensor([[[[2.0, 0.0], [3.0, 0.0]], [[0.0, 0.0], [3.0, 0.0]]]])
    teacher = outputs([torch.zeros(1, 2, 2)] * 3, [UNUSED[:, None], heads])
    layer_terms = intermediate_losses(student, teacher, PAIRS, affine(), torch.ones(1, 2))
    torch.testing.assert_close(layer_terms["attention"], torch.tensor([5.0]))
    both = outputs([[[[1.0], [2.0]]], [[[0.0], [-1.0]]]], [torch.ones(1, 2, 2, 2)])
    layer_terms = intermediate_losses(both, teacher, PAIRS, affine(), torch.ones(1, 2))
    torch.testing.assert_close(layer_terms["attention"], torch.tensor([(1 + 1 + 4 + 1 + 1 + 1 + 4 + 1) / 8]))


@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("maps", AttentionMaps)
def test_an_examples_value_does_not_depend_on_batch_or_padding(maps: AttentionMaps, heads: int) -> None:
    layer_method = method(heads=heads, attention_maps=maps)
    together = layer_method.layer_losses(batch([5, 3, 9], 9))
    for row, length in enumerate([5, 3, 9]):
        for width in (length, length + 4):
            single = layer_method.layer_losses(batch([length], width))
            for name, values in together.items():
                assert values.shape == (3,)
                torch.testing.assert_close(single[name][0], values[row], rtol=1e-4, atol=1e-6)
    assert len({round(float(value), 4) for value in together["hidden"].detach()}) == 3


def test_the_switch_selects_scores_or_probabilities() -> None:
    scores, shares = (method(heads=4, attention_maps=maps).layer_losses(batch([5], 5)) for maps in AttentionMaps)
    torch.testing.assert_close(scores["hidden"], shares["hidden"])
    layer_method = method(heads=4)
    student_states, taught = (
        forward_with_states(layer_method.roles[r], batch([5], 5).inputs[r], AttentionMaps.probabilities, r)
        for r in ("student", "teacher")
    )
    pairs = [(student_states.attentions[0], taught.attentions[1]), (student_states.attentions[1], taught.attentions[3])]
    expected = sum((a - b).square().mean() for a, b in pairs)
    torch.testing.assert_close(shares["attention"][0], expected)
    assert bool(scores["attention"] > 2 * shares["attention"])


def test_gradients_reach_only_student_and_projection() -> None:
    layer_method = method()
    layer_terms = layer_method.layer_losses(batch([5, 3], 5))
    (layer_terms["hidden"] + layer_terms["attention"]).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer_method.projection.parameters())
    reached = {name for name, p in layer_method.roles["student"].named_parameters() if p.grad is not None}
    assert any("layer.1.output" in name for name in reached)
    assert not any(name.startswith(("classifier", "bert.pooler")) for name in reached)
    assert all(p.grad is None for p in layer_method.roles["teacher"].parameters())


def test_the_projection_trains_in_the_first_phase_only() -> None:
    layer_method = method()
    student = layer_method.roles["student"]
    first, second = layer_method.phases(layer_method.config, OptimConfig(steps=10))
    layer_method.on_phase_start(first)
    assert list(layer_method.trainable("student")) == [student, layer_method.projection]
    assert list(layer_method.trainable("teacher")) == [layer_method.roles["teacher"]]
    layer_method.on_phase_start(second)
    assert list(layer_method.trainable("student")) == [student]


def test_the_projection_is_a_function_of_the_seed_and_disturbs_no_generator() -> None:
    before = torch.get_rng_state()
    one, same, other = make_projection(8, 16, 1), make_projection(8, 16, 1), make_projection(8, 16, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.weight.shape == (16, 8)
    assert torch.equal(one.weight, same.weight)
    assert not torch.equal(one.weight, other.weight)
    assert one.bias.tolist() == [0.0] * 16
    assert float(make_projection(64, 64, 1).weight.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_a_model_without_attention_maps_is_an_error() -> None:
    inputs = batch([4], 4).inputs["student"]
    with pytest.raises(
        ModelError, match=r"the teacher \(BertForSequenceClassification, 3 layers\) returns 0 attentions"
    ):
        forward_with_states(model(3, 8, 2, "sdpa"), inputs, AttentionMaps.scores, "teacher")
    layer_terms = forward_with_states(model(3, 8, 2), inputs, AttentionMaps.scores, "teacher")
    assert (len(layer_terms.hidden_states), len(layer_terms.attentions)) == (4, 3)


def test_depths_that_do_not_pair_up_are_refused() -> None:
    roles: dict[str, nn.Module] = {"student": model(3, 8, 2), "teacher": model(4, 16, 4)}
    parts = MethodContext(roles, CLASSES, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"))
    with pytest.raises(ModelError, match="the student has 3 layers and the teacher 4"):
        IntermediateLayerMethod(IntermediateSettings(), parts)


def soft_by_hand(layer_method: IntermediateLayerMethod, examples: Batch, temperature: float) -> Tensor:
    p = (examples.teacher_logits / temperature).softmax(dim=-1)  # type: ignore[operator]
    q = (layer_method.roles["student"](**examples.inputs["student"]).logits / temperature).softmax(dim=-1)
    return (p * (p / q).log()).sum(dim=-1)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_logits_are_compared_at_the_temperature_without_its_square(temperature: float) -> None:
    layer_method, examples = method(temperature=temperature), batch([5, 3], 5)
    examples.teacher_logits = torch.tensor([[2.0, -1.0], [0.0, 0.5]])
    torch.testing.assert_close(
        layer_method.logit_loss(examples), soft_by_hand(layer_method, examples, temperature), rtol=1e-4, atol=1e-6
    )


def test_a_score_has_no_temperature() -> None:
    layer_method, examples = method(SCORE, temperature=2.0), batch([5, 3], 5)
    examples.teacher_logits = torch.tensor([[2.0], [4.5]])
    expected = (layer_method.roles["student"](**examples.inputs["student"]).logits - examples.teacher_logits).square()[
        :, 0
    ]
    torch.testing.assert_close(layer_method.logit_loss(examples), expected)


def test_two_phases_share_the_budget() -> None:
    optim, turns = OptimConfig(epochs=20, batch_size=16, gradient_accumulation_steps=2), (Turn("student"),)
    assert student_phases(optim, 0.5) == [
        Phase("intermediate", turns, 10.0, None, 16, 2, evaluated=False),
        Phase("logits", turns, 10.0, None, 16, 2, epochs_before=10.0),
    ]
    assert [phase.steps for phase in student_phases(OptimConfig(steps=7), 0.25)] == [2, 5]
    assert [phase.steps for phase in student_phases(OptimConfig(steps=2), 0.9)] == [1, 1]
    assert student_phases(optim, 0.0) == [Phase("logits", turns, 20, None, 16, 2)]


@pytest.mark.parametrize("rows", [17, 40, 111])
def test_the_phases_share_the_steps_of_a_single_phase_method(rows: int) -> None:
    optim = OptimConfig(epochs=3, batch_size=8)
    assert sum(num_steps(phase, rows) for phase in student_phases(optim, 0.5)) == num_steps(optim, rows)


def test_a_single_step_cannot_be_shared() -> None:
    with pytest.raises(ConfigError, match=r"optim\.steps=1.*at least 2"):
        student_phases(OptimConfig(steps=1), 0.5)
