"""Rules for tasks with domains."""

from __future__ import annotations

from typing import Any

from kdrun.config.domains import ALL, PLAIN_NAME, DomainSettings, suggested_task, unsupported_source
from kdrun.config.task import TaskConfig
from kdrun.errors import did_you_mean


def domain_problems(task: TaskConfig, method: Any, source: str, needs_domains: bool) -> list[str]:
    """What does not fit between a run's method, its task and the source of its rows, as sentences.

    Args:
        task: as the run has it, after `by_domain_task`.
        method: the method's section.
        source: name of the source of the rows.
        needs_domains: whether the method works with domains only.
    """
    found = []
    if task.reported is not None and task.reported not in task.dev_splits:
        ending = did_you_mean(task.reported, task.dev_splits)
        found.append(f"task.reported={task.reported} is no split{ending} (allowed: {', '.join(task.dev_splits)})")
    # they name columns of tables, and folders of runs
    strange = [name for name in task.domains if not PLAIN_NAME.fullmatch(name)]
    found += [f"task.domains has {name!r}; a domain's name is made of letters, digits, - and _" for name in strange]
    if needs_domains and not task.domains:
        found.append(f"method={method.name} needs a task with domains, and task={task.name} has none{suggested_task()}")
    elif isinstance(method, DomainSettings):
        found += _unfit(method, task)
    refused = unsupported_source(task, source)
    return [*found, refused] if refused else found


def _unfit(method: DomainSettings, task: TaskConfig) -> list[str]:
    domain = method.domain
    if not task.domains:
        named = f"method.domain={domain}" if domain is not None else "method.hold_out_domain=true"
        asked = domain is not None or method.hold_out_domain
        return [f"{named}: task={task.name} has no domains{suggested_task()}"] if asked else []
    if domain is None:
        if method.hold_out_domain:
            return ["method.hold_out_domain=true holds out method.domain, which is not set: name a domain, or all"]
        return []
    if domain != ALL and domain not in task.domains:
        allowed = ", ".join([*task.domains, ALL])
        return [
            f"method.domain={domain}: unknown domain of {task.name}{did_you_mean(domain, task.domains)} ({allowed})"
        ]
    return []
