"""Match a checkpoint's class names to the task's label order.

Fine-tuned checkpoints of one task disagree about the order of its classes (of MNLI's, several orders are in
use), and a wrong order trains without an error, to a teacher that is confidently wrong.
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


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's classes fit a task's.

    Attributes:
        order: the checkpoint's output for each class of the task, e.g. [2, 0, 1].
        note: what was done or assumed, if anything.
        problem: why they do not fit; then the order means nothing.
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
    """The names of a checkpoint's outputs in their order."""
    return [str(name) for _, name in sorted((int(i), name) for i, name in (config.id2label or {}).items())]


def _plain(name: str) -> str:
    return re.sub(r"[-\s]+", "_", name.strip().lower())


def compare(found: list[str], task: TaskConfig) -> Fit:
    """How a checkpoint's outputs, by name, fit the task's."""
    wanted = task_names(task)
    order = list(range(len(wanted)))
    if len(found) != len(wanted):
        has = f"it has {len(found)} outputs ({', '.join(found)})"
        return Fit(order, problem=f"{has}, {task.name} has {len(wanted)} ({', '.join(wanted)})")
    if task.is_regression:
        return Fit(order)
    plain, target = [_plain(n) for n in found], [_plain(n) for n in wanted]
    if plain == target:
        return Fit(order)
    if all(GENERIC.fullmatch(name) for name in plain):
        note = f"its classes have no names ({', '.join(found)}): taken in the task's order ({', '.join(wanted)})"
        return Fit(order, note=note)
    if sorted(plain) == sorted(target):
        note = f"label order of the checkpoint ({', '.join(found)}) differs: rows permuted to {', '.join(wanted)}"
        return Fit([plain.index(name) for name in target], note=note)
    return Fit(order, problem=f"its classes are {', '.join(found)}, those of {task.name} are {', '.join(wanted)}")


def permute_outputs(model: PreTrainedModel, order: list[int]) -> None:
    """Reorder a model's outputs in place: output i becomes what output `order[i]` was."""
    if order == sorted(order):
        return
    holder, name = output_layer(model)
    layer: nn.Linear = getattr(holder, name)
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order].clone())
        if layer.bias is not None:
            layer.bias.copy_(layer.bias[order].clone())
