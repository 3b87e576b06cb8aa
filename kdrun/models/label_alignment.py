"""Match a checkpoint's class names to the task's label order.

Fine-tuned checkpoints of one task disagree about the order of its classes (several orders are in use for MNLI). A
wrong order raises no error, and gives a teacher that is confidently wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from kdrun.config.task import TaskConfig
from kdrun.data.class_names import CANONICAL, GENERIC, plain
from kdrun.models.families import output_layer

ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]
MULTI_LABEL: Final = "multi_label_classification"
"""`problem_type` of a model with one decision per class."""


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
    config.problem_type = problem_type_of(task)


def problem_type_of(task: TaskConfig) -> ProblemType:
    """`problem_type` of a model of the task, by which transformers chooses softmax or sigmoids."""
    if task.is_regression:
        return "regression"
    return MULTI_LABEL if task.is_multi_label else "single_label_classification"


def names_of(config: PreTrainedConfig) -> list[str]:
    """Names of a checkpoint's outputs, in their order."""
    return [str(name) for _, name in sorted((int(i), name) for i, name in (config.id2label or {}).items())]


def compare(names: list[str], task: TaskConfig, mapping: Mapping[str, str] | None = None, key: str = "labels") -> Fit:
    """Compare the outputs of a checkpoint with those of the task, by name.

    Args:
        names: of the checkpoint's outputs, in their order.
        task: the task.
        mapping: name of a checkpoint's class → name of the task's; names without an entry stay.
        key: config key of the mapping, for messages.
    """
    targets = task_names(task)
    order = list(range(len(targets)))
    if len(names) != len(targets):
        outputs = f"it has {len(names)} outputs ({', '.join(names)})"
        return Fit(order, problem=f"{outputs}, {task.name} has {len(targets)} ({', '.join(targets)})")
    if task.is_regression:
        return Fit(order)
    mapping = mapping or {}
    unknown = [*(name for name in mapping if name not in names), *(t for t in mapping.values() if t not in targets)]
    if unknown:
        text = f"{key} names {unknown[0]!r}, its classes are {', '.join(names)}, those of {task.name} "
        return Fit(order, problem=f"{text}are {', '.join(targets)}")
    mapped = [mapping.get(name, name) for name in names]
    return _compare_names(names, mapped, targets, task.name, key)


def compare_problem_type(problem_type: str | None, task: TaskConfig, fit: Fit) -> Fit:
    """The fit, unless one side has any number of classes per row and the other one.

    The outputs of a multi-label head are separate decisions, not the logits of one softmax.

    Args:
        problem_type: of the checkpoint's config.
        task: the task.
        fit: of the class names.
    """
    if fit.problem is not None or (problem_type == MULTI_LABEL) == task.is_multi_label:
        return fit
    if not task.is_multi_label:
        problem = (
            f"problem_type in its config.json is {MULTI_LABEL}: each output is a separate yes or no, and "
            f"{task.name} has one answer per row"
        )
    else:
        problem = (
            f"problem_type in its config.json is {problem_type or 'not set'}, and not {MULTI_LABEL}: its outputs are "
            f"the logits of one softmax, and {task.name} has any number of classes per row (set it there, if they are "
            "separate decisions)"
        )
    return Fit(fit.order, problem=problem)


def _compare_names(names: list[str], mapped: list[str], targets: list[str], task: str, key: str) -> Fit:
    order = list(range(len(targets)))
    plain_names, plain_targets = [plain(name) for name in mapped], [plain(name) for name in targets]
    if plain_names == plain_targets:
        return Fit(order, note=None if mapped == names else f"{key}: {_pairs(names, targets, order)}")
    if all(GENERIC.fullmatch(name) for name in plain_names):
        note = f"its classes have no names ({', '.join(names)}): the task's order is assumed ({', '.join(targets)})"
        return Fit(order, note=note)
    if sorted(plain_names) == sorted(plain_targets):
        note = f"label order of the checkpoint ({', '.join(names)}) differs: rows permuted to {', '.join(targets)}"
        return Fit([plain_names.index(name) for name in plain_targets], note=note)
    same_names, same_targets = (
        [CANONICAL.get(name, name) for name in names_of_one] for names_of_one in (plain_names, plain_targets)
    )
    if sorted(same_names) == sorted(same_targets) and len(set(same_names)) == len(same_names):
        order = [same_names.index(name) for name in same_targets]
        return Fit(order, note=f"class names of the checkpoint: {_pairs(names, targets, order)}")
    example = ", ".join(f"{name}: …" for name in names)
    return Fit(
        order,
        problem=f"its classes are {', '.join(names)}, those of {task} are {', '.join(targets)}; if they mean the same, "
        f"set {key}={{{example}}}",
    )


def _pairs(names: list[str], targets: list[str], order: list[int]) -> str:
    return ", ".join(f"{names[output]} is {target}" for target, output in zip(targets, order, strict=True))


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
