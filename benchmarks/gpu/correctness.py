"""Compare the first step of every method on a GPU with the same step on the CPU.

Each method is built as a run builds it, with the models of preset=smoke without dropout, and takes one step per turn of
each phase on the longest rows. All random numbers of a step are drawn on the CPU here, so both devices see the same
text, noise and weights. Compared are the logged losses and the gradient of each step, with fp32 on the CPU as the
reference.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.findings import Findings, Options, run_part
from kdrun import registry
from kdrun.config import compose
from kdrun.config.requirements import Requirements
from kdrun.console import QuietConsole
from kdrun.generation import gumbel
from kdrun.methods.phases import truncate_to_one_step
from kdrun.runs import build, runner, setup, teacher_stage
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.optim import UpdateRule, gradients
from kdrun.training.trainer import Trainer, TrainerSettings

LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 0.05}
"""Largest relative difference of a loss; bf16 keeps 8 bits of a number."""
GRADIENT_TOLERANCE = {"fp32": 1e-3, "bf16": 0.15}
"""Largest norm of the difference of two gradients, relative to the norm of the reference."""
WRITERS = frozenset({"zskd", "mate_kd", "dfkd_t3"})
"""Methods whose generator chooses tokens: rounding to bf16 changes a choice between two tokens that score alike, and
with it the text. Of them, the values in bf16 are reported without a target."""

TINY_METHODS = ("kd", "mate_kd", "dfkd_t3", "meta_kd")
"""Methods of a rehearsal: one of each way to build a step."""


@dataclass
class Steps:
    """Losses and gradients of the steps of one training, by phase, role and number."""

    losses: dict[str, dict[str, float]] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)


class RecordingRule(UpdateRule):
    """Records the mean gradient of each step, and takes the step."""

    def __init__(self) -> None:
        self.gradients: list[Tensor] = []

    def step(self, optimizer: torch.optim.Optimizer, divisor: float, max_norm: float, norm: Any) -> None:
        """Record the gradient; arguments as in the base class."""
        self.gradients.append(torch.cat([g.detach().flatten().float().cpu() for g in gradients(optimizer)]) / divisor)
        super().step(optimizer, divisor, max_norm, norm)


class RecordingCallback(TrainerCallback):
    """Records the losses of each step."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Record a step; arguments as in the base class."""
        self.records.append(record)


def methods() -> list[str]:
    """The methods of kdrun, without those of plugins."""
    entries = registry.entries("method").items()
    return [name for name, entry in entries if entry.target.__module__.startswith("kdrun.")]


def overrides(method: str, requires: Requirements, device: str, precision: str) -> list[str]:
    """Overrides of a run with one step per turn, whose weights hardly change between the steps."""
    task = ["task=amazon", "method.domain=books"] if requires.domains else ["task=sst2"]
    if requires.only_text:  # without answers of the student: rounding may change one of their tokens
        task = ["task=conll2003", "teacher=t5_smoke", "student=t5_smoke", "method.on_policy=0"]
    runtime = [f"runtime.device={device}", f"runtime.precision={precision}"]
    return [f"method={method}", *task, *runtime, "preset=smoke", "dry_run=true", "optim.lr=1e-7", "report=false"]


def without_dropout(models: Sequence[nn.Module]) -> None:
    """Switch off dropout in place: its random numbers differ between devices."""
    for module in (module for model in models for module in model.modules()):
        for name in ("p", "dropout", "activation_dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def steps(method: str, device: str, precision: str) -> Steps:
    """Build a method on a device, and take one step per turn of each phase."""
    requires = registry.get("method", method).target.requires
    config = compose.load_config(overrides(method, requires, device, precision))
    torch.manual_seed(config.seed)  # a dry run of meta_kd draws its stand-in for a meta-teacher from this generator
    try:
        run = runner.prepare(config, QuietConsole())
        for bundle in run.roles.values():
            bundle.model.requires_grad_(False).eval()
        teacher = teacher_stage.prepare_teacher(run) if requires.meta_teacher else None
        instance = build.make_method(run, teacher)
        loader = build.make_loader(run, instance, teacher)
        phases = [truncate_to_one_step(phase) for phase in instance.phases(instance.config, config.optim)]
        for phase in phases:
            without_dropout([module for turn in phase.turns for module in instance.trainable(turn.role)])
        rule, callback = RecordingRule(), RecordingCallback()
        settings = TrainerSettings(config.optim, config.seed, log_every=1, update_rule=rule)
        Trainer(instance, phases, loader, settings, run.accelerator, lambda: (None, {}), callback).run()
    finally:
        setup.release()
    result = Steps()
    for number, (record, gradient) in enumerate(zip(callback.records, rule.gradients, strict=True)):
        name = f"{record['phase']}, {record['role']}, step {number}"
        skipped = ("step", "epoch", "lr", "grad_norm", "examples_per_s")
        result.losses[name] = {k: v for k, v in record.items() if isinstance(v, float) and k not in skipped}
        result.gradients[name] = gradient
    return result


def differences(reference: Steps, other: Steps) -> tuple[float, float, str]:
    """Largest relative difference of a loss and of a gradient, and the step with the latter."""
    if reference.gradients.keys() != other.gradients.keys():
        return math.inf, math.inf, f"other steps: {', '.join(other.gradients)}"
    loss, gradient, where = 0.0, 0.0, ""
    for name, expected in reference.gradients.items():
        # losses near zero, such as a difference of two terms, are compared with the largest of the step
        scale = max(abs(value) for value in reference.losses[name].values())
        values = other.losses[name]
        loss = max([loss, *(_worst(abs(values[k] - v) / scale) for k, v in reference.losses[name].items())])
        difference = _worst(float((other.gradients[name] - expected).norm() / expected.norm()))
        if difference >= gradient:
            gradient, where = difference, name
    return loss, gradient, where


def _worst(value: float) -> float:
    return math.inf if math.isnan(value) else value


def check(options: Options, findings: Findings) -> None:
    """Compare every method in fp32 and bf16."""
    gumbel.exponential_variates = gumbel.exponential_variates_of_cpu  # the only numbers that a GPU draws itself
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KDRUN_CACHE"] = folder
        for method in TINY_METHODS if options.tiny else methods():
            for name, value, target, ok in check_method(method, options.device):
                findings.add(name, value, target, ok)


def check_method(method: str, device: str) -> Iterator[tuple[str, str, str, bool | None]]:
    """Findings on one method; an error is one too, so that the other methods are still compared."""
    try:
        reference = steps(method, "cpu", "fp32")
        for precision in ("fp32", "bf16"):
            loss, gradient, where = differences(reference, steps(method, device, precision))
            limits = LOSS_TOLERANCE[precision], GRADIENT_TOLERANCE[precision]
            is_bound = precision == "fp32" or method not in WRITERS
            ok = loss <= limits[0] and gradient <= limits[1]
            yield (
                f"{method}, {precision}, {len(reference.gradients)} steps",
                f"loss differs by {loss:.1e}, gradient by {gradient:.1e} ({where})",
                f"{limits[0]:g} and {limits[1]:g}" if is_bound else "",
                (ok if is_bound else None) if math.isfinite(loss + gradient) else False,
            )
    except Exception as error:  # noqa: BLE001  reported as a finding
        yield f"{method}, {device}", f"{type(error).__name__}: {str(error)[:300]}", "the steps run", False


if __name__ == "__main__":
    run_part(__doc__ or "", check)
