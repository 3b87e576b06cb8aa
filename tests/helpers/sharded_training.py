"""A training of a small student, whole or divided among processes."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import SequenceClassifierOutput

from kdrun import ranks, sharding
from kdrun.config.optim import OptimConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.phases import Turn
from kdrun.models import placement
from kdrun.storage import state_tensors
from kdrun.storage.checkpoint_manager import CheckpointManager
from kdrun.tasks.predictor import Predictor
from kdrun.training.trainer import Trainer, TrainerSettings
from tests.helpers.fake_training import Record, Regress, RowFeed

CPU = torch.device("cpu")
LENGTHS = np.array([3, 9, 4, 1, 5, 2, 8, 6, 7])
"""Of rows to score in five batches."""


class Block(GradientCheckpointingLayer):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.linear(hidden).tanh()


class Student(nn.Module):
    """Two layers between tied weights, a bias of one entry, and a weight that the loss does not reach."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.last = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.last.weight = self.first.weight
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head, self.unused = nn.Linear(3, 1), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Any:
        hidden = self.first(x)
        for block in self.blocks:
            hidden = block(hidden)
        return SequenceClassifierOutput(logits=self.head(self.last(hidden)))  # pyright: ignore[reportArgumentType]


class Feed(RowFeed):
    def __init__(self) -> None:
        super().__init__()
        self.rows_seen = np.zeros(self.num_rows, dtype=bool)

    def load_state(self, was_read: np.ndarray) -> None:
        self.rows_seen = was_read.copy()


class Learn(Regress):
    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        loss = (self.roles[turn.role](batch.inputs["student"]["x"]).logits[:, 0] - batch.labels).square().sum()
        return StepOutput(loss, len(batch.ids), {"hard": loss.detach()})


def train(folder: Path, *, divide: bool) -> dict[str, Any]:
    """Train, or resume from the checkpoints of a folder; six steps of up to three micro-batches with a ragged end."""
    student = Student()
    if divide:
        placement.shard(student, CPU)
    optim = OptimConfig(lr=0.05, batch_size=5, gradient_accumulation_steps=3, epochs=3, max_grad_norm=0.5)
    method = Learn(None, MethodContext({"student": student}, None, None, lambda a, b: a, 1, CPU))  # type: ignore[arg-type]
    record, x, scores = Record(), RowFeed().x, []

    def evaluate() -> tuple[float, dict[str, Any]]:
        with torch.no_grad():
            scores.append(float(student(x).logits.mean()))
        return scores[-1], {}

    keeper = CheckpointManager(folder / "last", 0.0, 20)
    settings = TrainerSettings(optim, seed=1, log_every=1, eval_every=1)
    accelerator = Accelerator(cpu=True)
    phases = method.phases(None, optim)
    Trainer(method, phases, Feed(), settings, accelerator, evaluate, record, keeper).run()  # type: ignore[arg-type]
    weights = state_tensors.complete_tensors(student)
    tokens: Any = SimpleNamespace(num_rows=9, lengths=LENGTHS, batch=lambda rows: {"x": x[rows]})
    return {
        "parts": [list(sharding.local_part(p).shape) for p in student.parameters()],
        "weights": {name: value.tolist() for name, value in weights.items()},
        "norms": [step["grad_norm"] for step in record.steps],
        "losses": [step["loss"] for step in record.steps],
        "changed": [report.weights_changed for report in record.first_steps],
        "scores": scores,
        "logits": Predictor(accelerator, 2).logits(student, tokens, 1)[:, 0].tolist(),  # type: ignore[arg-type]
    }


def train_divided(folder: str) -> list[dict[str, Any]]:
    """Train in the processes of `tests.helpers.processes`, from the start and from a checkpoint of one process."""
    ranks.join()
    return [train(Path(folder) / name, divide=True) for name in ("divided", "whole_stopped")]


def stop_after_three_steps(run: Path, stopped: Path) -> None:
    """Copy the checkpoints of a run up to its third step."""
    stopped.mkdir()
    shutil.copytree(run / "last.4", stopped / "last")
