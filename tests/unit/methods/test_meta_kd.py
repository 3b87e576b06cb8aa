"""Meta-KD's student: weights by hand and per example, and runs through the real entrypoint."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from kdrun import losses, registry
from kdrun.config import compose
from kdrun.config.schema import RunConfig
from kdrun.console import QuietConsole
from kdrun.data.batch import Batch
from kdrun.errors import ConfigError
from kdrun.methods.base import MethodContext
from kdrun.methods.meta_kd import MetaKD, MetaKDConfig, domain_expertise_weight
from kdrun.methods.phases import Turn
from kdrun.models.domain_embedding import DomainClassifier, mean_pool
from kdrun.runs import runner
from kdrun.storage import ledger
from tests.unit.methods.domain_teachers.test_domain_teachers import TASK
from tests.unit.methods.shared.test_intermediate_layers import batch, model

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
    parts = MethodContext(roles, TASK, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"))
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
    own, taught = made.states(given)
    mask = given.inputs["student"]["attention_mask"]
    branch: Any = made.roles["domain_branch"]
    wanted = branch(mean_pool(taught.hidden_states[-1], mask), given.extras["domain"])
    found = made.widen(made.vector(mean_pool(own.hidden_states[-1], mask), given.extras["domain"]))
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
    first, second = made.phases(compose.load_config([]).optim)
    made.on_phase_start(first)
    assert list(made.trainable("student")) == [made.roles["student"], made.projection, made.vector, made.widen]
    made.step(given, Turn("student")).loss.backward()
    for module in (made.vector.dense, made.widen, made.projection):
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


def carry_out(config: RunConfig) -> tuple[dict[str, Any], Path]:
    result = runner.run(config, QuietConsole())
    assert result is not None
    whole = [run for run in ledger.read_ledger(Path(config.output_dir)) if "/domains/" not in run["run_dir"]]
    return result, Path(whole[-1]["run_dir"])


def test_one_student_for_each_domain_from_one_teacher(tmp_path: Path) -> None:
    result, folder = carry_out(smoke(tmp_path, "method=meta_kd"))
    names = ["books", "dvd", "electronics", "kitchen"]
    assert list(result["domains"]) == names
    scores = result["student"]["metrics"]["test"]
    assert scores["accuracy"] == pytest.approx(sum(scores[f"accuracy_{name}"] for name in names) / 4)
    predicted = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    tested = [row for row in predicted if row["split"] == "test"]
    assert [row["id"] for row in tested] == list(range(800))
    for name in names:
        part = [row for row in tested if row["domain"] == name]
        assert len(part) == 200
        right = sum(row["prediction"] == row["gold"] for row in part) / 200
        assert scores[f"accuracy_{name}"] == pytest.approx(right)
        AutoModelForSequenceClassification.from_pretrained(folder / "domains" / name / "student")
    own = json.loads((folder / "domains" / "dvd" / "result.json").read_text())
    assert own["data"]["rows_by_domain"]["train"] == {"books": 0, "dvd": 16, "electronics": 0, "kitchen": 0}
    assert own["data"]["rows_read_for_teacher_by_domain"] == dict.fromkeys(names, 16)
    assert own["data"]["train_rows_read_for_teacher"] == 64


def test_a_held_out_domain_is_not_read_by_the_teacher(tmp_path: Path) -> None:
    words = ["method.domain=dvd", "method.hold_out_domain=true"]
    for method in (["method=meta_kd"], ["method=tinybert_kd", "teacher.domain_strategy=mixed"]):
        data = carry_out(smoke(tmp_path, *method, *words))[0]["data"]
        counts = data["rows_read_for_teacher_by_domain"]
        assert counts == {"books": 16, "dvd": 0, "electronics": 16, "kitchen": 16}
        assert data["train_rows_read"] == 16


@pytest.mark.parametrize("lessons", ["single", "mixed", "multi_task", "meta"])
def test_the_baselines_differ_in_their_teacher_alone(tmp_path: Path, lessons: str) -> None:
    words = ["method=tinybert_kd", "method.domain=books", f"teacher.domain_strategy={lessons}"]
    data = carry_out(smoke(tmp_path, *words))[0]["data"]
    others = 0 if lessons == "single" else 16
    counts = {"books": 16, "dvd": others, "electronics": others, "kitchen": others}
    assert data["rows_read_for_teacher_by_domain"] == counts
    assert data["train_rows_read"] == 16


def test_a_share_of_the_target_domain(tmp_path: Path) -> None:
    words = ["method=meta_kd", "method.domain=books", "data.max_train_rows=null", "data.train_fraction=0.01"]
    data = carry_out(smoke(tmp_path, *words, "teacher.finetune_optim.steps=160"))[0]["data"]
    assert data["train_rows_read"] == 16
    assert data["rows_read_for_teacher_by_domain"]["books"] <= 16
    assert data["rows_read_for_teacher_by_domain"]["dvd"] > 1000


def test_kept_states_are_the_computed_ones(tmp_path: Path) -> None:
    words = ["method=meta_kd", "method.domain=books"]
    folders = [carry_out(smoke(tmp_path, *words, f"method.teacher_states={how}"))[1] for how in ("recompute", "keep")]
    logs = [[json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] for folder in folders]
    for one, other in zip(*logs, strict=True):
        for key in ("hidden", "attention", "domain", "soft"):
            assert (key in one) == (key in other)
            if key in one:
                assert one[key] == pytest.approx(other[key], rel=2e-3, abs=2e-5)


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


def test_a_dry_run_tries_the_first_domain(tmp_path: Path) -> None:
    assert runner.run(smoke(tmp_path, "method=meta_kd", "dry_run=true"), QuietConsole()) is None
    assert not (tmp_path / "out").exists()


def test_it_says_what_it_needs() -> None:
    needs = registry.get("method", "meta_kd").target.requires
    assert needs.domains
    assert needs.meta_teacher
    assert not needs.regression
