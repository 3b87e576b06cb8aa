"""Every registered method on every task type: trained roles and logged terms."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdrun import registry
from kdrun.config import compose
from kdrun.config.task import TaskConfig
from kdrun.console import QuietConsole
from kdrun.runs import build, runner, teacher_stage
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.trainer import Trainer, TrainerSettings

TERMS = (
    "hard",
    "soft",
    "pseudo",
    "on_policy",
    "divergence",
    "hidden",
    "attention",
    "queries",
    "keys",
    "values",
    "patience",
    "contrast",
    "domain",
    "specificity",
    "repetition",
    "stray",
    "loss",
)
METHODS = [m for m, entry in registry.entries("method").items() if entry.target.__module__.startswith("kdrun.")]
SHORT_TURNS = {
    "mate_kd": [
        "method.generator_steps_per_cycle=1",
        "method.student_steps_per_cycle=2",
        "method.generator_optim.lr=1e-3",
    ]
}
ONE_DOMAIN = {"meta_kd": ["method.domain=books", "dry_run=true"]}  # whose meta-teacher is then a stand-in


def weights(module: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in module.parameters()]


class Looking(TrainerCallback):
    """Notes after every step which roles moved."""

    def __init__(self, roles: dict[str, nn.Module]) -> None:
        self.roles, self.records, self.moved = roles, [], []
        self.before = {role: weights(module) for role, module in roles.items()}

    def on_log(self, record: dict[str, Any], total: int) -> None:
        after = {role: weights(module) for role, module in self.roles.items()}
        same = {r: all(torch.equal(a, b) for a, b in zip(after[r], self.before[r], strict=True)) for r in after}
        self.moved.append({role for role, is_same in same.items() if not is_same})
        self.records.append(record)
        self.before = after

    def on_first_step(self, report: Any) -> None:
        assert report.zero_terms == []


T5 = ["teacher=t5_smoke", "student=t5_smoke"]


def misfit(method: str, task: TaskConfig, kind: str) -> str:
    """What a method says of a task, or of text-to-text models, that it cannot do; empty where it can."""
    needs = registry.get("method", method).target.requires
    if needs.only_text and not task.is_extraction:
        return f"method={method} learns from answers in text"
    if task.is_extraction and not needs.extraction:
        return f"method={method} works with a class or a score"
    if task.is_extraction and kind == "encoder":
        return "an encoder generates no text"
    if needs.domains and not task.domains:
        return f"method={method} needs a task with domains"
    if kind == "t5" and needs.compares_states:
        return f"method={method} compares the inside of encoders, and the teacher is a text-to-text model"
    return f"method={method} needs classes" if task.is_regression and not needs.regression else ""


def has_a_twin(method: str, task: str, kind: str) -> bool:
    """Whether a method takes the same path on another task: a T5 on a pair as in STS-B, a single text as in SST-2."""
    needs = registry.get("method", method).target.requires
    if needs.only_text and (task, kind) not in (("sst2", "encoder"), ("conll2003", "t5")):  # one refusal is enough
        return True
    has_domains = needs.domains
    return (task, kind) == ("rte", "t5") or (task == "amazon" and not has_domains)


CASES = [
    pytest.param(method, task, kind, marks=pytest.mark.slow if has_a_twin(method, task, kind) else ())
    for method in METHODS
    for task in ("sst2", "rte", "stsb", "amazon", "conll2003")
    for kind in ("encoder", "t5")
]


@pytest.mark.parametrize(("method", "task", "kind"), CASES)
def test_only_the_role_in_turn_moves_and_every_term_is_there(
    method: str, task: str, kind: str, run_env: None, tmp_path: Path
) -> None:
    words = [
        *(T5 if kind == "t5" else []),
        f"method={method}",
        f"task={task}",
        "preset=smoke",
        "optim.steps=4",
        "optim.warmup_ratio=0",
        *ONE_DOMAIN.get(method, []),
    ]
    problems = compose.validate_overrides(words, multirun=False)
    config = compose.to_config(compose.compose([*words, *SHORT_TURNS.get(method, [])]))
    if unfit := misfit(method, config.task, kind):
        assert any(unfit in problem for problem in problems)
        return
    assert problems == []
    run = runner.prepare(config, QuietConsole())
    for built in run.roles.values():
        built.model.requires_grad_(False).eval()
    teacher = teacher_stage.prepare_teacher(run) if run.requires.meta_teacher else None
    method_instance = build.make_method(run, teacher)
    feed = build.make_loader(run, method_instance, teacher)
    looking = Looking(dict(method_instance.roles))
    settings = TrainerSettings(config.optim, config.seed, log_every=1)
    phases = method_instance.phases(method_instance.config, config.optim)
    Trainer(method_instance, phases, feed, settings, run.accelerator, lambda: (None, {}), looking).run()
    assert {record["role"] for record in looking.records} == {t.role for p in phases for t in p.turns}
    for record, moved in zip(looking.records, looking.moved, strict=True):
        assert moved == {record["role"]}
        terms = {k: v for k, v in record.items() if k in TERMS}
        assert len(terms) >= 2
        assert all(torch.isfinite(torch.tensor(value)) and value != 0 for value in terms.values())
