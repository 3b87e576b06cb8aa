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
    expected = [2 / (1 + 1), 1 / (math.e + 1), 0.0, 1.5 / (math.exp(0.25) + 1)]
    assert domain_expertise_weight(t, p).tolist() == pytest.approx(expected, rel=1e-6)


def method(**settings: Any) -> MetaKD:
    roles: dict[str, nn.Module] = {
        "student": model(2, 8, 2).requires_grad_(True),
        "teacher": model(4, 16, 4).requires_grad_(False),
        "domain_branch": DomainClassifier(16, 3, dropout=0.0, std=0.5).requires_grad_(False),
    }
    parts = MethodContext(roles, DOMAIN_TASK, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"))
    return MetaKD(MetaKDConfig(**settings), parts)


def rows() -> Batch:
    examples = batch([5, 3, 9], 9)
    examples.labels, examples.phase = torch.tensor([0, 1, 1]), "intermediate"
    examples.teacher_logits = torch.tensor([[3.0, -2.0], [0.0, 1.0], [2.0, -2.0]])
    examples.extras = {"domain": torch.tensor([1, 1, 1]), "transferability": torch.tensor([0.9, 0.1, -0.5])}
    return examples


def test_each_example_is_weighted_by_its_expertise() -> None:
    """Weights that fell together into their mean would give another loss: the rows' errors differ."""
    meta_kd, examples = method(domain_weight=0.25), rows()
    errors = meta_kd.layer_losses(examples)
    student_states, taught = meta_kd.compute_states(examples)
    mask = examples.inputs["student"]["attention_mask"]
    branch: Any = meta_kd.roles["domain_branch"]
    expected = branch(mean_pool(taught.hidden_states[-1], mask), examples.extras["domain"])
    projected = meta_kd.projection_to_teacher(
        meta_kd.domain_embedding(mean_pool(student_states.hidden_states[-1], mask), examples.extras["domain"])
    )
    total = errors["hidden"] + errors["attention"] + 0.25 * (projected - expected).square().mean(dim=-1)
    gold = [math.exp(3) / (math.exp(3) + math.exp(-2)), math.e / (1 + math.e), 1 / (1 + math.exp(4))]
    weight = torch.tensor([(1 + t) / (math.exp((p - 1) ** 2) + 1) for t, p in zip([0.9, 0.1, -0.5], gold, strict=True)])
    out = meta_kd.step(examples, Turn("student"))
    torch.testing.assert_close(out.loss, (weight * total).sum(), rtol=1e-5, atol=1e-5)
    assert not torch.isclose(out.loss, weight.mean() * total.sum(), rtol=1e-3)
    torch.testing.assert_close(out.metrics["expertise"], weight.sum())


def test_a_row_of_weight_zero_moves_nothing() -> None:
    meta_kd, examples = method(), rows()
    examples.extras["transferability"] = torch.tensor([-1.0, -1.0, -1.0])
    meta_kd.step(examples, Turn("student")).loss.backward()
    changed = [p for p in meta_kd.roles["student"].parameters() if p.grad is not None and p.grad.any()]
    assert not changed


def test_what_trains_in_each_phase() -> None:
    meta_kd, examples = method(), rows()
    first, second = meta_kd.phases(meta_kd.config, compose.load_config([]).optim)
    meta_kd.on_phase_start(first)
    assert list(meta_kd.trainable("student")) == [
        meta_kd.roles["student"],
        meta_kd.projection,
        meta_kd.domain_embedding,
        meta_kd.projection_to_teacher,
    ]
    meta_kd.step(examples, Turn("student")).loss.backward()
    for module in (meta_kd.domain_embedding.dense, meta_kd.projection_to_teacher, meta_kd.projection):
        assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    assert all(p.grad is None for role in ("teacher", "domain_branch") for p in meta_kd.roles[role].parameters())
    meta_kd.on_phase_start(second)
    assert list(meta_kd.trainable("student")) == [meta_kd.roles["student"]]
    examples.phase = "logits"
    out = meta_kd.step(examples, Turn("student"))
    torch.testing.assert_close(out.loss, meta_kd.logit_loss(examples).sum())  # unweighted


def smoke(tmp_path: Path, *words: str) -> RunConfig:
    common = ["task=amazon", "preset=smoke", "report=false", "teacher.allow_weak=true", f"output_dir={tmp_path}/out"]
    return compose.load_config([*common, *words])


@pytest.mark.parametrize(
    ("words", "expected"),
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
def test_invalid_combinations_fail_before_anything_loads(tmp_path: Path, words: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        smoke(tmp_path, *words)
    assert expected in str(caught.value)


def test_requirements() -> None:
    needs = registry.get("method", "meta_kd").target.requires
    assert needs.domains
    assert needs.meta_teacher
    assert not needs.regression
