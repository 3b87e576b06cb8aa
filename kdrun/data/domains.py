"""Tasks whose rows come from several domains: whose student, which protocol, what does not fit. Imports no torch.

Some tasks have two protocols. MNLI as GLUE has it reads its two dev sets; by genre, as in Meta-KD (arXiv 2012.01266),
its matched dev set is `test`, `dev` is drawn from train, and rows of another genre are left out. The yaml of such a
task gives GLUE's protocol, and under `by_domain` what the other one changes; `protocol` makes the one into the other.
`kdrun.compose.to_config` calls it for a run that asks for domains, so that whatever reads a run's task (splits, files,
headline, hashes) sees one protocol only; `kdrun.data.sources.load(…, by_domain=True)` calls it for whoever has no run.
A task whose `by_domain` is empty has one protocol, which is by domain where the task has domains at all.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from kdrun.data import embedded
from kdrun.data.config import TaskConfig
from kdrun.errors import DataError, nearest
from kdrun.settings import setting

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


def target(method: Any) -> str | None:
    """The one domain that a run's student is for; None where there is none, or every domain in turn."""
    domain = method.domain if isinstance(method, DomainSettings) else None
    return None if domain == ALL else domain


def asks(method: Any) -> bool:
    """Whether a run's settings ask for the task by domain."""
    return isinstance(method, DomainSettings) and method.domain is not None


def for_all(method: Any) -> bool:
    """Whether a run is one of each domain, with a student for each."""
    return asks(method) and method.domain == ALL


def protocol(task: TaskConfig) -> TaskConfig:
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
        ending = nearest(unknown[0], ["rows", "files", "reported"])
        raise DataError(f"task.by_domain.{unknown[0]} is not a key{ending} (known: rows, files, reported)")
    folder = dict(task.folder) | {"files": changes["files"]}
    reported = changes.get("reported", task.reported)
    return dataclasses.replace(task, rows=changes["rows"], folder=folder, reported=reported, by_domain={})


def problems(task: TaskConfig, method: Any, source: str, needs_domains: bool) -> list[str]:
    """What does not fit between a run's method, its task and the source of its rows, as sentences.

    Args:
        task: as the run has it, after `protocol`.
        method: the method's section.
        source: name of the source of the rows.
        needs_domains: whether the method works with domains only.
    """
    found = []
    if task.reported is not None and task.reported not in task.dev_splits:
        ending = nearest(task.reported, task.dev_splits)
        found.append(f"task.reported={task.reported} is no split{ending} (allowed: {', '.join(task.dev_splits)})")
    # they name columns of tables, and folders of runs
    strange = [name for name in task.domains if not PLAIN_NAME.fullmatch(name)]
    found += [f"task.domains has {name!r}; a domain's name is made of letters, digits, - and _" for name in strange]
    if needs_domains and not task.domains:
        found.append(f"method={method.name} needs a task with domains, and task={task.name} has none{_others()}")
    elif isinstance(method, DomainSettings):
        found += _unfit(method, task)
    refused = refusal(task, source)
    return [*found, refused] if refused else found


def _unfit(method: DomainSettings, task: TaskConfig) -> list[str]:
    domain = method.domain
    if not task.domains:
        named = f"method.domain={domain}" if domain is not None else "method.hold_out_domain=true"
        asked = domain is not None or method.hold_out_domain
        return [f"{named}: task={task.name} has no domains{_others()}"] if asked else []
    if domain is None:
        if method.hold_out_domain:
            return ["method.hold_out_domain=true holds out method.domain, which is not set: name a domain, or all"]
        return []
    if domain != ALL and domain not in task.domains:
        allowed = ", ".join([*task.domains, ALL])
        return [f"method.domain={domain}: unknown domain of {task.name}{nearest(domain, task.domains)} ({allowed})"]
    return []


def _others() -> str:
    return f"; one that has them is task={next(iter(embedded.DOMAINS))}"


def refusal(task: TaskConfig, source: str) -> str | None:
    """Why a source has no rows of this task by domain, and what to do instead; None where it has, or need not."""
    if not task.is_by_domain:
        return None
    own = ", ".join(embedded.DOMAINS)
    if source == "embedded" and task.name not in embedded.DOMAINS:
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
