"""Rules for the distillation loss. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun import registry
from kdrun.config.loss import DISTConfig
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig
from kdrun.errors import Problem
from kdrun.registry import Entry


def loss_problems(config: RunConfig) -> Iterator[Problem]:
    """Losses that do not fit the task, and settings that do not fit the loss; an unknown name is reported elsewhere."""
    name, task = config.loss.name, config.task
    entry = registry.entries("loss").get(name) if name is not None else None
    if name is not None and entry is not None:
        if text := _unfit_task(name, entry, task):
            yield Problem("loss", name, f"loss={name} {text}")
        yield from _per_row_problems(config, entry)
    yield from _annealing_problems(config)
    yield from _weight_problems(config)


def _unfit_task(name: str, entry: Entry, task: TaskConfig) -> str:
    """Why a loss does not fit a task, after its name; empty if it does."""
    entries = registry.entries("loss").items()
    if task.is_multi_label and not entry.multi_label:
        fitting = ", ".join(other for other, e in entries if e.multi_label)
        return (
            f"compares distributions over classes, and task={task.name} has any number of classes per row "
            f"(task.kind=multi_label); use one of {fitting}, or leave it out"
        )
    if entry.multi_label and not task.is_multi_label:
        return (
            f"makes one decision per class, and task={task.name} has one answer per row; use another loss, or leave it "
            "out"
        )
    if task.is_regression and not entry.regression:
        return (
            f"compares distributions over classes, and task={task.name} predicts a score; use loss=logit_mse or leave "
            "it out"
        )
    if entry.two_classes and len(task.labels) == 2:
        fitting = [other for other, e in entries if not (e.two_classes or e.multi_label)]
        return (
            f"does not fit the two classes of task={task.name} ({', '.join(task.labels)}): {entry.two_classes}; use "
            f"one of {', '.join(fitting)}"
        )
    return ""


def _per_row_problems(config: RunConfig, entry: Entry) -> Iterator[Problem]:
    """Settings that weight or choose rows by their values, next to a loss whose values depend on the other rows."""
    if not entry.sees_batch:
        return
    method, loss = config.method, config.loss.name
    if config.optim.batch_size == 1 and not config.task.is_text:
        text = f"optim.batch_size=1: loss={loss} correlates the rows of a micro-batch; set at least 2, or take loss=kl"
        yield Problem("optim.batch_size", 1, text)
    if weight := getattr(method, "confidence_weight", 0):
        text = f"method.confidence_weight={weight} weights single rows, and loss={loss} correlates all rows of a batch"
        yield Problem("method.confidence_weight", weight, f"{text}; take loss=kl, or remove it")
    if (candidates := getattr(method, "candidates", 1)) > 1:
        text = f"method.candidates={candidates} chooses a text per row by its loss, and loss={loss} correlates all rows"
        yield Problem("method.candidates", candidates, f"{text} of a batch; take loss=kl, or remove it")


def _weight_problems(config: RunConfig) -> Iterator[Problem]:
    """Weights of a loss that leave it without a gradient."""
    weights = {f"loss.{key}": value for key, value in config.loss.settings.items() if key.endswith("_weight")}
    if weights and not any(weights.values()):
        text = f"{' '.join(f'{key}=0' for key in weights)}: the loss would be zero; set at least one of them above 0"
        yield Problem(next(iter(weights)), 0.0, text)
    elif isinstance(config.loss, DISTConfig) and len(config.task.labels) == 2 and not config.loss.intra_weight:
        text = (
            f"loss.intra_weight=0: the other term of loss=dist is constant for the two classes of "
            f"task={config.task.name}; set it above 0"
        )
        yield Problem("loss.intra_weight", 0.0, text)


def _annealing_problems(config: RunConfig) -> Iterator[Problem]:
    """A final temperature for a loss that the temperature does not change."""
    end = getattr(config.method, "temperature_end", None)
    if end is None:
        return
    why = ""
    if config.task.is_regression:
        why = f"task={config.task.name} predicts a score, which has no temperature"
    elif config.loss.name == "logit_mse":
        why = "the temperature cancels in loss=logit_mse times T²"
    if why:
        yield Problem("method.temperature_end", end, f"method.temperature_end={end} has no effect: {why}; remove it")
