"""Domains of a task: the target domain and the by-domain protocol.

Some tasks have two protocols. GLUE evaluates MNLI on its two dev sets. By genre, as in Meta-KD (arXiv 2012.01266), the
matched dev set is `test`, `dev` is drawn from train, and rows of other genres are left out. The yaml of such a task
gives GLUE's protocol, and its `by_domain` section the changes. `by_domain_task` applies the changes.
`kdrun.config.compose.to_config` calls it for a run with domains, so that all later code (splits, files, headline,
hashes) sees one protocol. A task with an empty `by_domain` has one protocol, by domain if the task has domains.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from kdrun.config.fields import setting
from kdrun.config.task import TaskConfig
from kdrun.errors import ConfigError, Problem, did_you_mean

EMBEDDED_DOMAINS: dict[str, tuple[str, ...]] = {"amazon": ("books", "dvd", "electronics", "kitchen")}
"""Domains of each synthetic task that has several."""
ALL = "all"
"""The value of `method.domain` for one student per domain."""
PLAIN_NAME = re.compile(r"[\w-]+")


@dataclass
class DomainSettings:
    """The target domain of a run; base class of the settings of methods that support domains."""

    domain: str | None = setting(
        None,
        "the domain of the student: one of the task's, or all for one student per domain; null for a task without "
        "domains / for one student on all domains mixed",
    )
    hold_out_domain: bool = setting(False, "the teacher never sees the target domain")


def target_domain(method: Any) -> str | None:
    """The one target domain of a run's student; None without domains, and for one student per domain."""
    domain = method.domain if isinstance(method, DomainSettings) else None
    return None if domain == ALL else domain


def uses_domains(method: Any) -> bool:
    """Whether the method's settings need the task by domain."""
    return isinstance(method, DomainSettings) and method.domain is not None


def holds_out_domain(method: Any) -> bool:
    """Whether the teacher never sees the target domain."""
    return isinstance(method, DomainSettings) and method.hold_out_domain


def is_per_domain(method: Any) -> bool:
    """Whether a run trains one student per domain."""
    return uses_domains(method) and method.domain == ALL


def by_domain_task(task: TaskConfig) -> TaskConfig:
    """The task by domain: unchanged if it has one protocol, else with the changes of `task.by_domain` applied.

    `rows` of the result names its splits and `folder.files` their files; a split without a file is drawn from train.
    Its `by_domain` is empty, so that a second call changes nothing.

    Raises:
        ConfigError: the section has keys other than rows, files and reported, or lacks rows or files.
    """
    changes = dict(task.by_domain)
    if not changes:
        return task
    problems = []
    for key in sorted(changes.keys() - {"rows", "files", "reported"}):
        ending = f"{did_you_mean(key, ['rows', 'files', 'reported'])} (known: rows, files, reported)"
        problems.append(Problem(f"task.by_domain.{key}", changes[key], f"task.by_domain.{key} is not a key{ending}"))
    for key in ("rows", "files"):
        if not isinstance(changes.get(key), dict):
            text = f"task.by_domain.{key} is missing; the protocol by domain needs {key}: {{SPLIT: …}}"
            problems.append(Problem(f"task.by_domain.{key}", changes.get(key), text))
    if problems:
        raise ConfigError(problems)
    folder = dict(task.folder) | {"files": changes["files"]}
    reported = changes.get("reported", task.reported)
    return dataclasses.replace(task, rows=changes["rows"], folder=folder, reported=reported, by_domain={})


def suggested_task() -> str:
    """The end of an error message: a task with domains."""
    return f"; one that has them is task={next(iter(EMBEDDED_DOMAINS))}"


def unsupported_source(task: TaskConfig, source: str) -> str | None:
    """Why a data source lacks rows of this task by domain, with a remedy; None if it has them or needs none."""
    if not task.is_by_domain:
        return None
    tasks = ", ".join(EMBEDDED_DOMAINS)
    if source == "embedded" and task.name not in EMBEDDED_DOMAINS:
        return (
            f"data=embedded has no {task.name} by domain: its rows come from one domain. Take task={tasks}, which has "
            f"domains there too, or data=folder data.dir=PATH with the rows of {task.name}"
        )
    if source == "hub" and task.folder.get("domain"):
        return (
            f"data=hub has no {task.name} by domain: its rows there lack the column {task.folder['domain']!r}. Take "
            f"data=folder data.dir=PATH (a folder in the GLUE layout, whose {task.folder.get('dir')}/train.tsv has it)"
        )
    if source == "hub":
        return (
            f"data=hub has no task={task.name}: it is not a GLUE task. Take data=folder data.dir=PATH (a folder that "
            f"holds {task.domains[0]}/train.tsv and so on) or data=embedded (synthetic rows)"
        )
    return None
