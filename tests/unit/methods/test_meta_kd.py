"""Meta-KD's student: weights by hand, per example."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdrun import losses, registry
from kdrun.config import compose
from kdrun.config.schema import RunConfig
from kdrun.data.batch import Batch
from kdrun.errors import ConfigError
from kdrun.methods.base import MethodContext
from kdrun.methods.meta_kd import MetaKD, MetaKDConfig, domain_expertise_weight
from kdrun.methods.phases import Turn
from kdrun.models.domain_embedding import DomainClassifier, mean_pool
from tests.helpers.tiny_encoders import DOMAIN_TASK, batch, model

pytestmark = pytest.mark.usefixtures("run_env")


def test_expertise_by_hand() -> None:
    t, p = torch.tensor([1.0, 0.0, -1.0, 0.5]), torch.tensor([1.0, 0.0, 0.5, 0.5])
    wanted = [2 / (1 + 1), 1 / (math.e + 1), 0.0, 1.5 / (math.exp(0.25) + 1)]
    assert domain_expertise_weight(t, p).tolist() == pytest.approx(wanted, rel=1e-6)


def method(**settings: Any) -> MetaKD:
    roles: dict[str, nn.Module] = {
        "student": model(2, 8, 2).requires_grad_(True),
        "teacher": model(4, 16, 4).requires_grad_(False),
        "domain_branch": DomainClassifier(16, 3, dropout=0.0, std=0.5).requires_grad_(False),
    }
    parts = MethodContext(roles, DOMAIN_TASK, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"))
    return MetaKD(MetaKDConfig(**settings), parts)


def rows() -> Batch:
    made = batch([5, 3, 9], 9)
    made.labels, made.phase = torch.tensor([0, 1, 1]), "intermediate"
    made.teacher_logits = torch.tensor([[3.0, -2.0], [0.0, 1.0], [2.0, -2.0]])
    made.extras = {"domain": torch.tensor([1, 1, 1]), "transferability": torch.tensor([0.9, 0.1, -0.5])}
    return made


def test_every_example_is_weighted_by_its_own_expertise() -> None:
    """Weights that fell together into their mean would give another loss: the rows' errors differ."""
    made, given = method(domain_weight=0.25), rows()
    errors = made.layer_losses(given)
    own, taught = made.compute_states(given)
    mask = given.inputs["student"]["attention_mask"]
    branch: Any = made.roles["domain_branch"]
    wanted = branch(mean_pool(taught.hidden_states[-1], mask), given.extras["domain"])
    found = made.projection_to_teacher(
        made.domain_embedding(mean_pool(own.hidden_states[-1], mask), given.extras["domain"])
    )
    total = errors["hidden"] + errors["attention"] + 0.25 * (found - wanted).square().mean(dim=-1)
    gold = [math.exp(3) / (math.exp(3) + math.exp(-2)), math.e / (1 + math.e), 1 / (1 + math.exp(4))]
    weight = torch.tensor([(1 + t) / (math.exp((p - 1) ** 2) + 1) for t, p in zip([0.9, 0.1, -0.5], gold, strict=True)])
    out = made.step(given, Turn("student"))
    torch.testing.assert_close(out.loss, (weight * total).sum(), rtol=1e-5, atol=1e-5)
    assert not torch.isclose(out.loss, weight.mean() * total.sum(), rtol=1e-3)
    torch.testing.assert_close(out.metrics["expertise"], weight.sum())


def test_a_row_of_weight_zero_moves_nothing() -> None:
    made, given = method(), rows()
    given.extras["transferability"] = torch.tensor([-1.0, -1.0, -1.0])
    made.step(given, Turn("student")).loss.backward()
    moved = [p for p in made.roles["student"].parameters() if p.grad is not None and p.grad.any()]
    assert not moved


def test_what_trains_in_each_phase() -> None:
    made, given = method(), rows()
    first, second = made.phases(made.config, compose.load_config([]).optim)
    made.on_phase_start(first)
    assert list(made.trainable("student")) == [
        made.roles["student"],
        made.projection,
        made.domain_embedding,
        made.projection_to_teacher,
    ]
    made.step(given, Turn("student")).loss.backward()
    for module in (made.domain_embedding.dense, made.projection_to_teacher, made.projection):
        assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    assert all(p.grad is None for role in ("teacher", "domain_branch") for p in made.roles[role].parameters())
    made.on_phase_start(second)
    assert list(made.trainable("student")) == [made.roles["student"]]
    given.phase = "logits"
    out = made.step(given, Turn("student"))
    torch.testing.assert_close(out.loss, made.logit_loss(given).sum())  # unweighted


def smoke(tmp_path: Path, *words: str) -> RunConfig:
    common = ["task=amazon", "preset=smoke", "report=false", "teacher.allow_weak=true", f"output_dir={tmp_path}/out"]
    return compose.load_config([*common, *words])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["method=meta_kd", "task=sst2"], "needs a task with domains"),
        (["method=meta_kd", "method.domain=book"], "unknown domain of amazon; did you mean 'books'?"),
        (["method=meta_kd", "teacher.domain_strategy=mixed"], "method=meta_kd needs teacher.domain_strategy=meta"),
        (["method=tinybert_kd", "teacher.domain_strategy=single"], "name it, or all"),
        (["method=tinybert_kd", "method.domain=dvd", "method.hold_out_domain=true"], "take mixed or meta"),
        (["method=finetune", "teacher.domain_strategy=mixed"], "method=finetune has no teacher"),
        (["method=kd", "task=rte", "teacher.domain_strategy=mixed"], "task=rte has no domains"),
        (["method=meta_kd", "teacher.fine_tune=never"], "teacher.fine_tune=never forbids it"),
        (["method=meta_kd", "task=mnli"], "data=embedded has no mnli by domain"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_loads(tmp_path: Path, words: list[str], wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        smoke(tmp_path, *words)
    assert wanted in str(caught.value)


def test_it_says_what_it_needs() -> None:
    needs = registry.get("method", "meta_kd").target.requires
    assert needs.domains
    assert needs.meta_teacher
    assert not needs.regression
