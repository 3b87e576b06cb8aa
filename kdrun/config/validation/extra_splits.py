"""Rules for extra evaluation: known splits, and classes that merge.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdrun.config import domains
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig
from kdrun.errors import Problem, did_you_mean

KEYS = ("repo", "subset", "revision", "split", "label", "rows", "labels", "merge")
"""Keys of an entry of `task.extra`."""


def extra_split_problems(config: RunConfig) -> Iterator[Problem]:
    """Names of `evaluation.extra` that the task lacks, and runs that cannot score extra splits."""
    task, names = config.task, config.evaluation.extra
    yield from _entry_problems(task)
    for name in names:
        if name not in task.extra:
            known = f"task.extra has {', '.join(task.extra)}" if task.extra else "the task has none (task.extra)"
            text = f"evaluation.extra: task={task.name} has no {name!r}{did_you_mean(name, list(task.extra))} ({known})"
            yield Problem("evaluation.extra", name, text)
    if names and len(set(names)) < len(names):
        yield Problem("evaluation.extra", names, f"evaluation.extra={','.join(names)} names a split more than once")
    if names and not task.has_one_class:
        text = f"evaluation.extra scores classes, and task={task.name} has not one class per row; leave it out"
        yield Problem("evaluation.extra", names, text)
    if names and domains.is_per_domain(config.method):
        text = (
            "evaluation.extra: extra splits have no domain, and this method trains a student per domain; leave it out"
        )
        yield Problem("evaluation.extra", names, text)


def _entry_problems(task: TaskConfig) -> Iterator[Problem]:
    for name, entry in task.extra.items():
        key = f"task.extra.{name}"
        if name in task.rows:
            yield Problem(key, name, f"task={task.name}: {key} has the name of a split of task.rows; rename it")
        if not isinstance(entry, dict) or not {"repo", "split"} <= entry.keys():
            text = f"task={task.name}: {key} needs repo and split: {{repo: OWNER/NAME, split: test}}"
            yield Problem(key, entry, text)
            continue
        for unknown in set(entry) - set(KEYS):
            hint = f"{did_you_mean(unknown, KEYS)} (keys: {', '.join(KEYS)})"
            text = f"task={task.name}: {key} has an unknown key {unknown!r}{hint}"
            yield Problem(f"{key}.{unknown}", entry[unknown], text)
        yield from _merge_problems(task, key, entry)


def _merge_problems(task: TaskConfig, key: str, entry: dict[str, Any]) -> Iterator[Problem]:
    labels, merge = entry.get("labels", task.labels), entry.get("merge", {})
    for label in (label for label in merge if label not in task.labels):
        text = f"task={task.name}: {key}.merge names {label!r}, and the task has {', '.join(task.labels)}"
        yield Problem(f"{key}.merge", label, text)
    lost = [label for label in task.labels if merge.get(label, label) not in labels]
    if lost:
        text = (
            f"task={task.name}: {key}.labels has {', '.join(labels)}, and no class for {', '.join(lost)}; say which by "
            f"merge: {{{lost[0]}: {labels[-1]}}}"
        )
        yield Problem(f"{key}.labels", labels, text)
