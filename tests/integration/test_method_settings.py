"""Every setting of every method changes a few steps of training, or is refused."""

import copy
import dataclasses
from functools import cache
from typing import Any

import pytest
from accelerate import Accelerator
from omegaconf import OmegaConf

from kdrun import registry
from kdrun.cli.explain import keys
from kdrun.config import compose
from kdrun.config.validation.rules import validate
from kdrun.console import QuietConsole
from kdrun.data.loader import BatchLoader
from kdrun.errors import ModelError
from kdrun.runs import build, runner, teacher_stage
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.trainer import Trainer, TrainerSettings

METHODS = {
    name: entry.config
    for name, entry in registry.entries("method").items()
    if entry.target.__module__.startswith("kdrun.") and entry.config is not None
}
BASE = [
    *("preset=smoke", "optim.steps=4", "optim.batch_size=4", "optim.warmup_ratio=0"),
    *("data.max_train_rows=16", "ood.rows=16", "data.max_length=40"),
]
CYCLE = ["method.generator_steps_per_cycle=2", "method.student_steps_per_cycle=2", "method.generator_optim.lr=0.01"]
RUNS: dict[str, list[str]] = {
    "mate_kd": CYCLE,
    "zskd": CYCLE,
    "dfkd_t3": [*CYCLE, "teacher=t5_smoke", "student=t5_smoke", "method.warm_start_steps=1"],
    "meta_kd": ["task=amazon", "method.domain=books", "dry_run=true"],
    "gkd": ["task=conll2003", "teacher=t5_smoke", "student=t5_smoke", "task.answer_tokens=6"],
    "pkd": ["student.sizes.num_hidden_layers=2", "teacher.sizes.num_hidden_layers=4"],
}
"""Overrides of a method's run, beyond the base."""
DECODE, SCORE = {"mode": "decode", "max_tokens": 6}, {"gradient": "score"}
NEEDS: dict[str, dict[str, Any]] = {
    "min_tokens": DECODE,
    "max_tokens": DECODE,
    "baseline_momentum": SCORE,
    "warm_start_lr": {"warm_start_steps": 2},
    "outer_share": {"search_fraction": 3.0},
}
"""Setting → other settings under which it has an effect."""
REFUSED = {"min_tokens", "max_tokens", "baseline_momentum", "warm_start_lr"}
"""Settings that are refused without them."""
VALUES: dict[str, Any] = {
    "generator_optim.name": "sgd",
    "generator_optim.schedule": "constant",
    "generator_optim.warmup_steps": 2,
    "generator_optim.max_grad_norm": 1e-9,
    "min_confidence": 0.9,
    "min_tokens": 5,
    "max_tokens": 5,
    "intermediate_fraction": 0.2,
    "teacher_layer": 1,
    "relation_heads": 2,
    "temperature_end": 3.0,
    "num_negatives": 8,
    "outer_share": 0.3,
    "gradient": "score",
}
"""Setting → a value that differs from that of the base; otherwise `another` derives one."""
ELSEWHERE = {
    "domain": "chooses rows and teacher before the method is built: test_meta_kd.py, test_per_domain_runs.py",
    "hold_out_domain": "chooses the teacher's rows before the method is built: test_meta_kd.py",
    "collapse.largest_class": "needs more text: test_collapse.py",
    "collapse.fewest_distinct": "likewise",
    "collapse.most_empty": "likewise",
    "teacher_states": "computes the same numbers at another time: test_tinybert_kd.py",
}
"""Settings with an effect that a few steps on fixed rows do not show, with the effect and its test."""
NOT_COMPARED = {"examples_per_s", "lr"}

pytestmark = pytest.mark.usefixtures("run_env")


class Records(TrainerCallback):
    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def on_log(self, record: dict[str, Any], total: int) -> None:
        self.steps.append({name: value for name, value in record.items() if name not in NOT_COMPARED})


@dataclasses.dataclass
class Base:
    """A run of a method on tiny models, with the weights that every training starts from."""

    run: PreparedRun
    teacher: TeacherResult | None
    loader: BatchLoader
    weights: dict[str, Any]


@cache
def base(method: str) -> Base:
    config = compose.load_config([f"method={method}", *BASE, *RUNS.get(method, [])])
    run = runner.prepare(config, QuietConsole())
    for bundle in run.roles.values():
        bundle.model.requires_grad_(False).eval()
    teacher = teacher_stage.prepare_teacher(run) if run.requires.meta_teacher else None
    weights = {role: copy.deepcopy(bundle.model.state_dict()) for role, bundle in run.roles.items()}
    return Base(run, teacher, build.make_loader(run, build.make_method(run, teacher), teacher), weights)


def change(method: str, changes: dict[str, Any]) -> PreparedRun:
    """The run with other settings of its method."""
    run = base(method).run
    node = OmegaConf.structured(run.config.method)
    for name, value in changes.items():
        OmegaConf.update(node, name, value)
    config = dataclasses.replace(run.config, method=OmegaConf.to_object(node))
    return dataclasses.replace(run, config=config, accelerator=Accelerator(cpu=True))


def refusal(method: str, changes: dict[str, Any]) -> str:
    """Message of a refusal by the validation, or where the method is built."""
    changed = change(method, changes)
    if problems := validate(changed.config):
        return problems[0]
    with pytest.raises(ModelError) as error:
        build.make_method(changed, base(method).teacher)
    return str(error.value)


def steps(method: str, changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Logged values of a training, apart from its learning rates."""
    start, run = base(method), change(method, changes)
    assert validate(run.config) == []
    for role, bundle in run.roles.items():
        bundle.model.load_state_dict(start.weights[role])
    instance, records = build.make_method(run, start.teacher), Records()
    optim, settings = run.config.optim, TrainerSettings(run.config.optim, run.config.seed, log_every=1)
    phases = instance.phases(instance.config, optim)
    Trainer(instance, phases, start.loader, settings, run.accelerator, lambda: (None, {}), records).run()
    return records.steps


@cache
def unchanged(method: str, needs: tuple[tuple[str, Any], ...]) -> list[dict[str, Any]]:
    return steps(method, dict(needs))


def another(key: keys.Key, value: Any) -> Any:
    """A value of a setting other than the given one, in its range."""
    if "one of " in key.allowed:
        choices = key.allowed.removeprefix("one of ").split(", ")
        return next(choice for choice in choices if choice != keys.yaml_text(value))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    assert isinstance(value, float), key
    return value / 2 if value else 0.5


def settings_of(method: str) -> list[keys.Key]:
    return [key for key in keys.fields(METHODS[method]) if key.path != "name" and key.schema is None]


AS_IN_KD, WITH_KD = {key.path for key in settings_of("kd")}, ("minilm", "pkd", "crd")
"""Settings of kd, and methods that have them for a loss that they share."""
CASES = [
    pytest.param(m, key, id=f"{m} {key.path}", marks=[pytest.mark.slow] * (m in WITH_KD and key.path in AS_IN_KD))
    for m in METHODS
    for key in settings_of(m)
]


@pytest.mark.parametrize(("method", "key"), CASES)
def test_every_setting_has_an_effect(method: str, key: keys.Key) -> None:
    if key.path in ELSEWHERE:
        return
    needs = NEEDS.get(key.path, {})
    before = OmegaConf.select(OmegaConf.structured(change(method, needs).config.method), key.path)
    changes = {key.path: VALUES[key.path] if key.path in VALUES else another(key, before)}
    assert changes[key.path] != before
    if key.path in REFUSED:
        assert refusal(method, changes).startswith(f"method.{key.path}={changes[key.path]} has no effect")
    assert steps(method, needs | changes) != unchanged(method, tuple(needs.items()))


@pytest.mark.parametrize("method", METHODS)
def test_the_steps_compared_do_not_change_by_themselves(method: str) -> None:
    assert steps(method, {}) == unchanged(method, ())
    assert len(unchanged(method, ())) >= 4
