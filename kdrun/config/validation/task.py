"""Rules for a task: text, answers, metrics and splits.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdrun import registry
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.errors import Problem, did_you_mean

KEY = "task"
HUB_KEYS = ("repo", "subset", "revision", "label", "splits")
ANSWER_KEYS = {TaskKind.classes: "labels", TaskKind.multi_label: "labels", TaskKind.score: "range"}
"""The key that lists or bounds the answers of each kind of task."""


def answer_type(task: TaskConfig) -> str:
    """The answers of a task as metrics name them: two classes, classes, label sets, scores, entities or texts."""
    if task.is_extraction:
        return "entities"
    if task.is_free_text:
        return "texts"
    if task.is_regression:
        return "scores"
    if task.is_multi_label:
        return "label sets"
    return "two classes" if len(task.labels) == 2 else "classes"


def fitting_metrics(task: TaskConfig) -> list[str]:
    """Registered metrics that score the answers of a task."""
    answers = answer_type(task)
    fitting = {"two classes", "classes"} if answers == "two classes" else {answers}
    return [name for name, entry in registry.entries("metric").items() if not fitting.isdisjoint(entry.answers)]


def task_problems(task: TaskConfig) -> Iterator[Problem]:
    """Every problem of a task that is found without its rows."""
    yield from _split_problems(task)
    yield from _answer_problems(task)
    yield from _metric_problems(task)
    yield from _text_problems(task)


def _problem(task: TaskConfig, field: str, value: Any, text: str) -> Problem:
    return Problem(f"{KEY}.{field}", value, f"task={task.name}: task.{field}={_written(value)} {text}")


def _written(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _split_problems(task: TaskConfig) -> Iterator[Problem]:
    """Splits: training rows, a split to evaluate, and the reported one."""
    rows = task.rows
    if "train" not in rows or not task.dev_splits:
        text = (
            f"task={task.name} has the splits {', '.join(rows) or 'none'} in task.rows; it needs train and at "
            "least one more: rows: {train: COUNT, dev: COUNT}"
        )
        yield Problem("task.rows", rows, text)
    yield from _hub_problems(task)
    for name, count in rows.items():
        if count < 1:
            yield Problem("task.rows", count, f"task={task.name}: task.rows.{name} must be > 0, got {count}")
    if task.reported is not None and task.reported not in task.dev_splits:
        splits = f"{did_you_mean(task.reported, task.dev_splits)} (splits to evaluate: {', '.join(task.dev_splits)})"
        yield _problem(task, "reported", task.reported, f"is not in task.rows{splits}")


def _hub_problems(task: TaskConfig) -> Iterator[Problem]:
    """The data set at the hub: known keys, and splits that the task has."""
    for key in task.hub:
        if key not in HUB_KEYS:
            text = f"has an unknown key {key!r}{did_you_mean(key, HUB_KEYS)} (keys: {', '.join(HUB_KEYS)})"
            yield _problem(task, "hub", task.hub, text)
    splits = task.hub.get("splits", {})
    if not isinstance(splits, Mapping) or (task.hub and "repo" not in task.hub):
        yield _problem(
            task,
            "hub",
            task.hub,
            "needs repo, and splits as a mapping: hub: {repo: OWNER/NAME, splits: {dev: validation}}",
        )
        return
    for name in splits:
        if name not in task.rows:
            yield _problem(task, "hub", task.hub, f"has the split {name!r}, and task.rows has {', '.join(task.rows)}")


def _answer_problems(task: TaskConfig) -> Iterator[Problem]:
    """Answers: classes, a score or entities, and only one of them."""
    answers = {name: values for name in ("labels", "range", "entities") if (values := getattr(task, name))}
    if task.is_free_text:
        for name, values in answers.items():
            yield _problem(
                task, name, values, "has no effect with task.kind=text, whose answers are free text; remove it"
            )
    elif len(answers) != 1:
        given = ", ".join(f"task.{name}={_written(values)}" for name, values in answers.items()) or "none of them"
        text = f"task={task.name} has {given}; it needs exactly one of task.labels, task.range and task.entities"
        yield Problem(f"{KEY}.labels", task.labels, text)
    elif task.kind is not None and ANSWER_KEYS[task.kind] not in answers:
        text = f"needs task.{ANSWER_KEYS[task.kind]}, and the task has task.{next(iter(answers))}"
        yield _problem(task, "kind", task.kind.value, text)
    for name in ("labels", "entities", "domains"):
        values = getattr(task, name)
        if repeated := _repeated(values):
            yield _problem(task, name, values, f"has {repeated!r} more than once (upper and lower case are equal)")
    if task.is_multi_label and task.domains:
        yield _problem(task, "domains", task.domains, "cannot be used with task.kind=multi_label; leave it out")
    if len(task.labels) == 1:
        yield _problem(task, "labels", task.labels, "has one class; a task needs two or more")
    if task.range and (len(task.range) != 2 or not task.range[0] < task.range[1]):
        yield _problem(task, "range", task.range, "must be the lowest and the highest score: range: [0, 5]")


def _repeated(values: Sequence[str]) -> str | None:
    """The first value that repeats an earlier one in lower case; labels of files are read in any case."""
    plain = [value.strip().lower() for value in values]
    return next((value for i, value in enumerate(values) if plain[i] in plain[:i]), None)


def _metric_problems(task: TaskConfig) -> Iterator[Problem]:
    """Metrics: registered, for the task's answers, and the headline among them."""
    fitting, entries = fitting_metrics(task), registry.entries("metric")
    listing = f"(metrics of {answer_type(task)}: {', '.join(fitting)})"
    if not task.metrics:
        yield _problem(task, "metrics", task.metrics, f"is empty; name at least one {listing}")
    for name in task.metrics:
        if name not in entries:
            text = f"has an unknown metric {name!r}{did_you_mean(name, fitting)} {listing}"
            yield _problem(task, "metrics", task.metrics, text)
        elif name not in fitting:
            scored = " and ".join(entries[name].answers)
            text = f"has {name}, a metric of {scored}, and the task has {_answers(task)} {listing}"
            yield _problem(task, "metrics", task.metrics, text)
    if repeated := _repeated(task.metrics):
        yield _problem(task, "metrics", task.metrics, f"has {repeated!r} more than once")
    if task.metrics and task.headline not in task.metrics:
        ending = f"{did_you_mean(task.headline, task.metrics)}; the headline is one of {', '.join(task.metrics)}"
        yield _problem(task, "headline", task.headline, f"is not in task.metrics{ending}")


def _answers(task: TaskConfig) -> str:
    return f"{len(task.labels)} classes" if task.labels else answer_type(task)


def _text_problems(task: TaskConfig) -> Iterator[Problem]:
    """Text columns, and the prompts and label words of text-to-text models."""
    if len(task.text) not in (1, 2) or len(set(task.text)) != len(task.text):
        yield _problem(task, "text", task.text, "must name one text column, or two different ones for a pair")
    if task.prompts and len(task.prompts) != len(task.text):
        text = f"has {len(task.prompts)} prompts, and the task has {len(task.text)} text columns; one prompt per column"
        yield _problem(task, "prompts", task.prompts, text)
    words = task.label_words
    if words and task.labels and len(words) != len(task.labels):
        text = f"has {len(words)} entries, and the task has {len(task.labels)} classes; one entry per class"
        yield _problem(task, "label_words", words, text)
    if repeated := _repeated(words):
        yield _problem(task, "label_words", words, f"has {repeated!r} more than once")
    if task.is_regression and (unreadable := [word for word in words if not _is_number(word)]):
        yield _problem(task, "label_words", words, f"has {unreadable[0]!r}; for a score, each is a number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
