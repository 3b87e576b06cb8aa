"""Domains of a task: the target domain and the by-domain protocol.

Some tasks have two protocols. MNLI as GLUE has it reads its two dev sets; by genre, as in Meta-KD (arXiv 2012.01266),
its matched dev set is `test`, `dev` is drawn from train, and rows of another genre are left out. The yaml of such a
task gives GLUE's protocol, and under `by_domain` what the other one changes; `protocol` makes the one into the other.
`kdrun.config.compose.to_config` calls it for a run that asks for domains, so that whatever reads a run's task (splits, files,
headline, hashes) sees one protocol only; `kdrun.data.dataset.load_dataset(…, by_domain=True)` calls it for whoever has no run.
A task whose `by_domain` is empty has one protocol, which is by domain where the task has domains at all.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from kdrun.config.fields import setting
from kdrun.config.task import TaskConfig
from kdrun.errors import DataError, did_you_mean

EMBEDDED_DOMAINS: dict[str, tuple[str, ...]] = {"amazon": ("books", "dvd", "electronics", "kitchen")}


ALL = "all"
"""The value of `method.domain` for one student per domain."""
PLAIN_NAME = re.compile(r"[\w-]+")


@dataclass
class DomainSettings:
    """Which domain a run's student is for; the settings of methods that know domains inherit it."""

    domain: str | None = setting(
        None,
        "the domain of the student: one of the task's, or all for one student per domain; null for a task without "
        "domains / for one student on all domains mixed",
    )
    hold_out_domain: bool = setting(False, "the teacher never sees the target domain")


def target_domain(method: Any) -> str | None:
    """The one domain that a run's student is for; None where there is none, or every domain in turn."""
    domain = method.domain if isinstance(method, DomainSettings) else None
    return None if domain == ALL else domain


def uses_domains(method: Any) -> bool:
    """Whether a run's settings ask for the task by domain."""
    return isinstance(method, DomainSettings) and method.domain is not None


def is_per_domain(method: Any) -> bool:
    """Whether a run is one of each domain, with a student for each."""
    return uses_domains(method) and method.domain == ALL


def by_domain_task(task: TaskConfig) -> TaskConfig:
    """The task by domain: itself where it has one protocol, else with the splits of `task.by_domain` in place.

    The result names its domains' splits in `rows`, the files that are read in `folder.files` (a split of `rows`
    without a file is drawn from train), and has an empty `by_domain`: applied again, it changes nothing.

    Raises:
        DataError: the section has keys that are none of rows, files and reported.
    """
    changes = dict(task.by_domain)
    if not changes:
        return task
    unknown = sorted(changes.keys() - {"rows", "files", "reported"})
    if unknown:
        ending = did_you_mean(unknown[0], ["rows", "files", "reported"])
        raise DataError(f"task.by_domain.{unknown[0]} is not a key{ending} (known: rows, files, reported)")
    folder = dict(task.folder) | {"files": changes["files"]}
    reported = changes.get("reported", task.reported)
    return dataclasses.replace(task, rows=changes["rows"], folder=folder, reported=reported, by_domain={})


def _others() -> str:
    return f"; one that has them is task={next(iter(EMBEDDED_DOMAINS))}"


def unsupported_source(task: TaskConfig, source: str) -> str | None:
    """Why a source has no rows of this task by domain, and what to do instead; None where it has, or need not."""
    if not task.is_by_domain:
        return None
    own = ", ".join(EMBEDDED_DOMAINS)
    if source == "embedded" and task.name not in EMBEDDED_DOMAINS:
        return (
            f"data=embedded has no {task.name} by domain: its rows come from one domain. Take task={own}, which has "
            f"domains there too, or data=folder data.dir=PATH with the rows of {task.name}"
        )
    if source == "hub" and task.folder.get("domain"):
        return (
            f"data=hub has no {task.name} by domain: its rows there lack the column {task.folder['domain']!r}. Take "
            f"data=folder data.dir=PATH (a folder in the GLUE layout, whose {task.folder.get('dir')}/train.tsv has it)"
        )
    if source == "hub":
        return (
            f"data=hub has no task={task.name}: it is no task of GLUE. Take data=folder data.dir=PATH (a folder that "
            f"holds {task.domains[0]}/train.tsv and so on) or data=embedded (synthetic rows)"
        )
    return None
