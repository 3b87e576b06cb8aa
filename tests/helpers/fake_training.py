"""A regression method, a row loader and a recording callback for trainer tests."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.step_checks import FirstStepReport
from kdrun.training.trainer import Trainer, TrainerSettings

ROWS = 21


class RowFeed:
    """Batch loader of fake rows: one feature vector per row, batches in row order."""

    def __init__(self, rows: int = ROWS) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x, self.num_rows = torch.randn(rows, 3, generator=generator), rows
        self.asked: list[tuple[str, int]] = []

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        self.asked.append((phase, epoch))
        return [np.arange(i, min(i + batch_size, self.num_rows)) for i in range(0, self.num_rows, batch_size)]

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        inputs = {"student": {"x": self.x[rows]}}
        return Batch(torch.from_numpy(rows), inputs, self.x[rows].sum(dim=-1), phase=phase, step=step)


class Regress(Method):
    """Squared error of a linear student; a second role only to see it left alone."""

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        return [Phase.from_budget("fit", (Turn("student"),), optim)]

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
        return dict.fromkeys(("student", "generator"), optim)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        out = self.roles[turn.role](batch.inputs["student"]["x"])[:, 0]
        loss = (out - batch.labels).square().sum()
        return StepOutput(loss, len(batch.ids), {"hard": loss.detach()})


@dataclass
class Record(TrainerCallback):
    steps: list[dict[str, Any]] = field(default_factory=list)
    evals: list[tuple[dict[str, Any], bool]] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)
    first_steps: list[FirstStepReport] = field(default_factory=list)
    rests: list[dict[str, Any]] = field(default_factory=list)
    zeros: list[tuple[str, str, list[str]]] = field(default_factory=list)

    def on_log(self, record: dict[str, Any], total: int) -> None:
        self.steps.append(record)

    def on_evaluate(self, record: dict[str, Any], is_best: bool) -> None:
        self.evals.append((record, is_best))

    def on_phase_end_unscored(self, record: dict[str, Any]) -> None:
        self.ends.append(record)

    def on_role_stopped(self, stop: dict[str, Any]) -> None:
        self.rests.append(stop)

    def on_zero_terms(self, phase: str, role: str, terms: list[str]) -> None:
        self.zeros.append((phase, role, terms))

    def on_first_step(self, report: FirstStepReport) -> None:
        self.first_steps.append(report)


def make(method: type[Method] = Regress, **changes: Any) -> tuple[Trainer, Record, Method]:
    torch.manual_seed(3)
    roles: dict[str, nn.Module] = {"student": nn.Linear(3, 1), "generator": nn.Linear(3, 1), "teacher": nn.Linear(3, 1)}
    optim = OptimConfig(**{"lr": 0.05, "batch_size": 8, "epochs": 3, "max_grad_norm": 0.0, **changes.pop("optim", {})})
    parts = MethodContext(roles, changes.pop("task", None), None, lambda a, b: a, 1, torch.device("cpu"))
    method_instance = method(None, parts)
    scores = iter(changes.pop("scores", [0.1] * 1000))
    settings = TrainerSettings(optim, seed=1, log_every=1, **changes)
    watcher = Record()
    loop = Trainer(
        method_instance,
        method_instance.phases(method_instance.config, optim),
        RowFeed(),  # type: ignore[arg-type]
        settings,
        Accelerator(cpu=True),
        lambda: (score := next(scores), {"dev": {"m": score}}),
        watcher,
    )
    return loop, watcher, method_instance


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
