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
    made = batch([5, 3, 4], 5)
    made.labels, made.phase, made.step = torch.tensor([0, 1, 1]), "train", 3
    made.extras = {"domain": torch.tensor([0, 1, 2]), "transferability": torch.tensor([0.2, 0.9, 0.5])}
    return made


def meta(corruption: DomainCorruption) -> MetaTeacher:
    made = MetaTeacher(MetaTeacherConfig(corruption=corruption, domain_weight=0.5, dropout=0.0), parts(), [0, 1, 2])
    made.branch.eval()
    return made


def by_hand(made: MetaTeacher, given: Batch, taught: Tensor) -> tuple[Tensor, Tensor]:
    """CE(x, y) and CE(domain(u(x)), taught), [batch] each."""
    out = made.roles["student"](**given.inputs["student"], output_hidden_states=True)
    content = mean_pool(out.hidden_states[-1], given.inputs["student"]["attention_mask"])
    logits = made.branch.logits(made.branch(content, given.extras["domain"]))
    assert given.labels is not None
    return cross_entropy(out.logits, given.labels, reduction="none"), cross_entropy(logits, taught, reduction="none")


def test_a_wrong_domain_is_weighted_by_gamma_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made, given, taught = meta(DomainCorruption.wrong), rows(), torch.tensor([1, 2, 0])
    monkeypatch.setattr("kdrun.methods.domain_teachers.meta.sample_wrong_domains", lambda own, among, stream: taught)
    hard, domain = by_hand(made, given, taught)
    out = made.step(given, TURN)
    wanted = (0.2 * hard[0] + 0.9 * hard[1] + 0.5 * hard[2]) + 0.5 * domain.sum()
    torch.testing.assert_close(out.loss, wanted)
    torch.testing.assert_close(out.loss_terms["domain"], domain.sum().detach())


def test_permuted_domains_are_those_of_the_batch_and_weighted_by_transferability() -> None:
    made, given = meta(DomainCorruption.permuted), rows()
    out = made.step(given, TURN)
    weight, found = given.extras["transferability"], []
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        hard, domain = by_hand(made, given, torch.tensor(order))
        found.append(torch.isclose(out.loss, (weight * (hard + 0.5 * domain)).sum(), atol=1e-5))
    assert sum(found) >= 1
    again = made.step(given, TURN)
    torch.testing.assert_close(again.loss, out.loss)  # drawn from a stream of (seed, phase, step)


def test_the_domain_loss_reaches_the_encoder_and_its_branch() -> None:
    made, given = meta(DomainCorruption.wrong), rows()
    given.extras["transferability"] = torch.zeros(3)  # silences the classifier's own loss
    made.step(given, TURN).loss.backward()
    student: Any = made.roles["student"]
    assert student.bert.encoder.layer[0].attention.self.query.weight.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.branch.parameters())
    assert not student.classifier.weight.grad.any()
    assert list(made.trainable("student")) == [student, made.branch]


def test_the_branch_is_read_back_and_an_unseen_domain_is_the_mean_of_the_seen(tmp_path: Path) -> None:
    made = MetaTeacher(MetaTeacherConfig(), parts(), [0, 2])
    made.save_extra_modules(tmp_path)
    modules = MetaTeacher.load_for_domain(made.roles["student"], tmp_path, None, MetaTeacherConfig())
    table: Any = modules["domain_branch"].embedding
    torch.testing.assert_close(table.weight[1], (table.weight[0] + table.weight[2]) / 2)
    torch.testing.assert_close(table.weight[0], made.branch.embedding.weight[0])


def test_held_out_domains_are_never_taught() -> None:
    made, given = MetaTeacher(MetaTeacherConfig(dropout=0.0), parts(), [0, 2]), rows()
    given.extras["domain"] = torch.tensor([0, 2, 0])
    seen = set()
    for step in range(40):
        given.step = step
        made.branch.output.zero_grad()
        made.step(given, TURN).loss.backward()
        gradient = made.branch.output.bias.grad
        assert gradient is not None
        seen |= {int(k) for k in torch.nonzero(gradient < 0)}  # cross-entropy pulls its target up alone
    assert seen <= {0, 2}


def test_each_row_is_scored_by_the_layer_of_its_domain() -> None:
    made, given = MultiTaskTeacher(None, parts(), [0, 1, 2]), rows()
    out = made.step(given, TURN)
    inputs = given.inputs["student"]
    student: Any = made.roles["student"]
    wide = student(**inputs).logits
    assert wide.shape == (3, 6)
    own = torch.stack([wide[0, 0:2], wide[1, 2:4], wide[2, 4:6]])
    assert given.labels is not None
    torch.testing.assert_close(out.loss, cross_entropy(own, given.labels, reduction="sum"))
    out.loss.backward()
    gradient = student.classifier.weight.grad
    given.extras["domain"] = torch.tensor([0, 0, 0])
    student.zero_grad()
    made.step(given, TURN).loss.backward()
    assert gradient[4:6].abs().sum() > 0
    assert not student.classifier.weight.grad[2:].any()


def test_the_layers_are_read_back_by_domain(tmp_path: Path) -> None:
    made = MultiTaskTeacher(None, parts(), [0, 1, 2])
    student: Any = made.roles["student"]
    inputs = rows().inputs["student"]
    wide = student(**inputs).logits.detach()
    made.save_extra_modules(tmp_path)
    assert student(**inputs).logits.shape == (3, 2)  # a plain classifier again, which saves and loads as such
    for k in range(3):
        assert MultiTaskTeacher.load_for_domain(student, tmp_path, k, None) == {}
        torch.testing.assert_close(student(**inputs).logits, wide[:, 2 * k : 2 * k + 2])
