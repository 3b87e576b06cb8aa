"""DFKD-T3 on tiny models: student steps, target classes, collapse, errors."""

from typing import Any

import pytest
import torch

from kdrun import losses
from kdrun.errors import ModelError
from kdrun.methods.dfkd_t3 import DFKDT3, DFKDT3Config, Gradient, Mode
from tests.helpers.tiny_dfkd import GENERATOR, OFF, PAIR, SINGLE, STUDENT, answers, batch, build_method


def test_the_students_loss_is_on_both_texts_without_a_label() -> None:
    method = build_method(soft_weight=0.3, pseudo_weight=0.6, temperature=2.0)
    examples = batch(method)
    teacher, student = answers(method, method.generate_text(examples).inputs)
    student_logits = method.roles["student"](**examples.inputs["student"]).logits
    assert examples.teacher_logits is not None
    soft = 4 * losses.kl_divergence(student_logits, examples.teacher_logits, 2.0).sum()
    pseudo = 4 * losses.kl_divergence(student, teacher, 2.0).sum()
    out = method.step(examples, STUDENT)
    torch.testing.assert_close(out.loss, 0.3 * soft + 0.6 * pseudo, rtol=1e-5, atol=1e-5)
    assert set(out.loss_terms) == {"soft", "pseudo"}
    expected = method.target_classes(examples)
    assert out.metrics["agreement"] == (teacher.argmax(-1) == expected).sum()
    assert out.metrics["called_bad"] + out.metrics["called_good"] == 3
    assert 0 < float(out.metrics["distinct_tokens"]) <= 3


def test_a_term_of_weight_zero_is_not_there() -> None:
    settings: dict[str, Any] = OFF | {"specificity_weight": 1.0}
    method = build_method(**settings)
    assert "reference" not in method.roles
    examples = batch(method)
    out = method.step(examples, GENERATOR)
    assert set(out.loss_terms) == {"specificity"}
    torch.testing.assert_close(out.loss.detach(), out.loss_terms["specificity"], rtol=1e-5, atol=1e-5)


def test_the_initial_generator_is_the_reference() -> None:
    method = build_method(reference_kl_weight=0.5)
    reference, generator = method.roles["reference"], method.roles["generator"]
    assert not any(p.requires_grad for p in reference.parameters())
    assert not reference.training
    with torch.no_grad():
        generator.get_parameter("shared.weight").add_(1)
    assert not torch.equal(generator.get_parameter("shared.weight"), reference.get_parameter("shared.weight"))


def test_classes_are_wanted_evenly_and_by_step() -> None:
    method = build_method()
    targets = [method.target_classes(batch(method, step=step)) for step in range(200)]
    assert abs(float(torch.stack(targets).float().mean()) - 0.5) < 0.06
    assert torch.equal(method.target_classes(batch(method, step=3)), targets[3])


def test_soft_tokens_need_one_vocabulary() -> None:
    with pytest.raises(ModelError, match=r"method\.gradient=soft.*student\.tokenizer=teacher"):
        build_method(other_vocabulary=True, gradient=Gradient.soft)


def test_pairs_are_not_decoded_and_lengths_must_fit() -> None:
    decode = DFKDT3Config(mode=Mode.decode, min_tokens=5, max_tokens=3)
    first, second = DFKDT3.config_problems(decode, PAIR)
    assert "task=mrpc has pairs" in first
    assert "method.min_tokens=5 is more than method.max_tokens=3" in second
    assert DFKDT3.config_problems(DFKDT3Config(), PAIR) == []
    assert DFKDT3.config_problems(DFKDT3Config(mode=Mode.decode), SINGLE) == []


def update_monitor(method: DFKDT3, predicted: list[int], target: list[int], repeat: bool = False) -> None:
    """Let the method see 80 texts, called so by the teacher."""
    rows = 80
    ids = torch.zeros(rows, 2).long() if repeat else torch.arange(2 * rows).view(rows, 2)
    targets, classes, source = (torch.tensor(v).repeat(rows // len(v)) for v in (target, predicted, [0, 1]))
    method._guard.monitor.update(targets, classes, source, ids, torch.ones_like(ids, dtype=torch.bool))


def marked(method: DFKDT3) -> float:
    return float(method.roles["generator"].get_parameter("shared.weight")[0, 0].detach())


def turn_to(method: DFKDT3, value: float) -> None:
    with torch.no_grad():
        method.roles["generator"].get_parameter("shared.weight")[0, 0] = value


def test_a_collapse_ends_the_generators_part_with_the_last_good_one() -> None:
    method = build_method()
    turn_to(method, 1.0)
    update_monitor(method, [0, 1, 1, 1], [0, 1, 0, 1])
    assert method.stop_reason("generator") == ""
    turn_to(method, 2.0)
    update_monitor(method, [0, 1], [0, 1])
    assert (method.stop_reason("generator"), method.stop_reason("student")) == ("", "")
    turn_to(method, 3.0)
    update_monitor(method, [0, 1], [1, 0])  # no collapse, but not the best agreement
    assert method.stop_reason("generator") == ""
    turn_to(method, 4.0)
    update_monitor(method, [1], [0, 1])
    why = method.stop_reason("generator")
    assert "the teacher classifies 100.0% of its last 80 texts as good" in why
    assert "agreement 100.0%" in why
    assert marked(method) == 2.0
    turn_to(method, 5.0)  # nothing puts it back again
    assert method.stop_reason("generator") == why
    assert marked(method) == 5.0
    assert method.stop_reason("student") == ""


def test_without_new_text_there_is_no_new_verdict() -> None:
    method = build_method()
    update_monitor(method, [0, 1], [0, 1], repeat=True)
    first = method.stop_reason("generator")
    assert "only 1 of" in first
    assert build_method().stop_reason("generator") == ""


def test_what_is_kept_is_written_by_the_best_generator() -> None:
    method = build_method()
    turn_to(method, 1.0)
    update_monitor(method, [0, 1], [0, 1])
    method.stop_reason("generator")
    turn_to(method, 2.0)
    method.prepare_export()
    text = method.generate_text(batch(method))
    assert marked(method) == 1.0
    assert text.target_class is not None
    assert torch.equal(text.ids, method.generate_text(batch(method)).ids)
