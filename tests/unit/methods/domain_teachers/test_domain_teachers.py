"""The meta-teacher and the multi-task teacher: losses, trained parameters, reloaded weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kdrun import losses
from kdrun.config.teacher import DomainCorruption, MetaTeacherConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext
from kdrun.methods.domain_teachers.meta import MetaTeacher
from kdrun.methods.domain_teachers.multi_task import MultiTaskTeacher
from kdrun.methods.phases import Turn
from kdrun.models.domain_embedding import mean_pool
from tests.helpers.tiny_encoders import DOMAIN_TASK, batch, model

TURN = Turn("student")


def parts() -> MethodContext:
    roles: dict[str, nn.Module] = {"student": model(2, 8, 2)}
    return MethodContext(roles, DOMAIN_TASK, None, losses.hard_loss(False), 1, torch.device("cpu"))


def rows() -> Batch:
    examples = batch([5, 3, 4], 5)
    examples.labels, examples.phase, examples.step = torch.tensor([0, 1, 1]), "train", 3
    examples.extras = {"domain": torch.tensor([0, 1, 2]), "transferability": torch.tensor([0.2, 0.9, 0.5])}
    return examples


def meta(corruption: DomainCorruption) -> MetaTeacher:
    teacher = MetaTeacher(MetaTeacherConfig(corruption=corruption, domain_weight=0.5, dropout=0.0), parts(), [0, 1, 2])
    teacher.branch.eval()
    return teacher


def by_hand(teacher: MetaTeacher, examples: Batch, taught: Tensor) -> tuple[Tensor, Tensor]:
    """CE(x, y) and CE(domain(u(x)), taught), [batch] each."""
    out = teacher.roles["student"](**examples.inputs["student"], output_hidden_states=True)
    content = mean_pool(out.hidden_states[-1], examples.inputs["student"]["attention_mask"])
    logits = teacher.branch.logits(teacher.branch(content, examples.extras["domain"]))
    assert examples.labels is not None
    return cross_entropy(out.logits, examples.labels, reduction="none"), cross_entropy(logits, taught, reduction="none")


def test_a_wrong_domain_is_weighted_by_gamma_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, examples, taught = meta(DomainCorruption.wrong), rows(), torch.tensor([1, 2, 0])
    monkeypatch.setattr("kdrun.methods.domain_teachers.meta.sample_wrong_domains", lambda own, among, stream: taught)
    hard, domain = by_hand(teacher, examples, taught)
    out = teacher.step(examples, TURN)
    expected = (0.2 * hard[0] + 0.9 * hard[1] + 0.5 * hard[2]) + 0.5 * domain.sum()
    torch.testing.assert_close(out.loss, expected)
    torch.testing.assert_close(out.loss_terms["domain"], domain.sum().detach())


def test_permuted_domains_are_those_of_the_batch_and_weighted_by_transferability() -> None:
    teacher, examples = meta(DomainCorruption.permuted), rows()
    out = teacher.step(examples, TURN)
    weight, matches = examples.extras["transferability"], []
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        hard, domain = by_hand(teacher, examples, torch.tensor(order))
        matches.append(torch.isclose(out.loss, (weight * (hard + 0.5 * domain)).sum(), atol=1e-5))
    assert sum(matches) >= 1
    again = teacher.step(examples, TURN)
    torch.testing.assert_close(again.loss, out.loss)  # drawn from a stream of (seed, phase, step)


def test_the_domain_loss_reaches_the_encoder_and_its_branch() -> None:
    teacher, examples = meta(DomainCorruption.wrong), rows()
    examples.extras["transferability"] = torch.zeros(3)  # silences the classifier's own loss
    teacher.step(examples, TURN).loss.backward()
    student: Any = teacher.roles["student"]
    assert student.bert.encoder.layer[0].attention.self.query.weight.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in teacher.branch.parameters())
    assert not student.classifier.weight.grad.any()
    assert list(teacher.trainable("student")) == [student, teacher.branch]


def test_the_branch_is_read_back_and_an_unseen_domain_is_the_mean_of_the_seen(tmp_path: Path) -> None:
    teacher = MetaTeacher(MetaTeacherConfig(), parts(), [0, 2])
    teacher.save_extra_modules(tmp_path)
    modules = MetaTeacher.load_for_domain(teacher.roles["student"], tmp_path, None, MetaTeacherConfig())
    table: Any = modules["domain_branch"].embedding
    torch.testing.assert_close(table.weight[1], (table.weight[0] + table.weight[2]) / 2)
    torch.testing.assert_close(table.weight[0], teacher.branch.embedding.weight[0])


def test_held_out_domains_are_never_taught() -> None:
    teacher, examples = MetaTeacher(MetaTeacherConfig(dropout=0.0), parts(), [0, 2]), rows()
    examples.extras["domain"] = torch.tensor([0, 2, 0])
    taught_domains = set()
    for step in range(40):
        examples.step = step
        teacher.branch.output.zero_grad()
        teacher.step(examples, TURN).loss.backward()
        gradient = teacher.branch.output.bias.grad
        assert gradient is not None
        taught_domains |= {int(k) for k in torch.nonzero(gradient < 0)}  # cross-entropy pulls its target up alone
    assert taught_domains <= {0, 2}


def test_each_row_is_scored_by_the_layer_of_its_domain() -> None:
    teacher, examples = MultiTaskTeacher(None, parts(), [0, 1, 2]), rows()
    out = teacher.step(examples, TURN)
    inputs = examples.inputs["student"]
    student: Any = teacher.roles["student"]
    wide = student(**inputs).logits
    assert wide.shape == (3, 6)
    expected_logits = torch.stack([wide[0, 0:2], wide[1, 2:4], wide[2, 4:6]])
    assert examples.labels is not None
    torch.testing.assert_close(out.loss, cross_entropy(expected_logits, examples.labels, reduction="sum"))
    out.loss.backward()
    gradient = student.classifier.weight.grad
    examples.extras["domain"] = torch.tensor([0, 0, 0])
    student.zero_grad()
    teacher.step(examples, TURN).loss.backward()
    assert gradient[4:6].abs().sum() > 0
    assert not student.classifier.weight.grad[2:].any()


def test_the_layers_are_read_back_by_domain(tmp_path: Path) -> None:
    teacher = MultiTaskTeacher(None, parts(), [0, 1, 2])
    student: Any = teacher.roles["student"]
    inputs = rows().inputs["student"]
    wide = student(**inputs).logits.detach()
    teacher.save_extra_modules(tmp_path)
    assert student(**inputs).logits.shape == (3, 2)  # a plain classifier again, which saves and loads as such
    for k in range(3):
        assert MultiTaskTeacher.load_for_domain(student, tmp_path, k, None) == {}
        torch.testing.assert_close(student(**inputs).logits, wide[:, 2 * k : 2 * k + 2])
