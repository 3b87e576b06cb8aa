"""Match a checkpoint's class names to the task's label order.

Fine-tuned checkpoints of one task disagree about the order of its classes (several orders are in use for MNLI). A
wrong order raises no error, and gives a teacher that is confidently wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from kdrun.config.task import TaskConfig
from kdrun.models.families import output_layer

GENERIC = re.compile(r"label_?\d+|\d+")
"""Names of classes that say nothing, in lower case."""


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's classes fit a task's.

    Attributes:
        order: the checkpoint's output for each class of the task, e.g. [2, 0, 1].
        note: permutation or assumption, for the reader of the run.
        problem: reason why they do not fit; the order is then meaningless.
    """

    order: list[int]
    note: str | None = None
    problem: str | None = None


def task_names(task: TaskConfig) -> list[str]:
    """The names of a model's outputs: the task's classes, or `score`."""
    return list(task.labels) or ["score"]


def set_labels(config: PreTrainedConfig, task: TaskConfig) -> None:
    """Write the task's outputs into a model's config, in place."""
    names = task_names(task)
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    config.problem_type = "regression" if task.is_regression else "single_label_classification"


def names_of(config: PreTrainedConfig) -> list[str]:
    """Names of a checkpoint's outputs, in their order."""
    return [str(name) for _, name in sorted((int(i), name) for i, name in (config.id2label or {}).items())]


def _plain(name: str) -> str:
    return re.sub(r"[-\s]+", "_", name.strip().lower())


def compare(names: list[str], task: TaskConfig) -> Fit:
    """Compare the outputs of a checkpoint with those of the task, by name.

    Args:
        names: of the checkpoint's outputs, in their order.
        task: the task.
    """
    targets = task_names(task)
    order = list(range(len(targets)))
    if len(names) != len(targets):
        outputs = f"it has {len(names)} outputs ({', '.join(names)})"
        return Fit(order, problem=f"{outputs}, {task.name} has {len(targets)} ({', '.join(targets)})")
    if task.is_regression:
        return Fit(order)
    plain_names, plain_targets = [_plain(name) for name in names], [_plain(name) for name in targets]
    if plain_names == plain_targets:
        return Fit(order)
    if all(GENERIC.fullmatch(name) for name in plain_names):
        note = f"its classes have no names ({', '.join(names)}): the task's order is assumed ({', '.join(targets)})"
        return Fit(order, note=note)
    if sorted(plain_names) == sorted(plain_targets):
        note = f"label order of the checkpoint ({', '.join(names)}) differs: rows permuted to {', '.join(targets)}"
        return Fit([plain_names.index(name) for name in plain_targets], note=note)
    return Fit(order, problem=f"its classes are {', '.join(names)}, those of {task.name} are {', '.join(targets)}")


def permute_outputs(model: PreTrainedModel, order: list[int]) -> None:
    """Reorder a model's outputs in place: the old output `order[i]` becomes output i."""
    if order == sorted(order):
        return
    holder, name = output_layer(model)
    layer: nn.Linear = getattr(holder, name)
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order].clone())
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[order].clone())
