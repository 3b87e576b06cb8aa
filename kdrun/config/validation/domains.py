"""Rules for tasks with domains."""

from __future__ import annotations

from typing import Any

from kdrun.config.domains import ALL, PLAIN_NAME, DomainSettings, suggested_task, unsupported_source
from kdrun.config.task import TaskConfig
from kdrun.errors import Problem, did_you_mean


def domain_problems(task: TaskConfig, method: Any, source: str, needs_domains: bool) -> list[Problem]:
    """Conflicts between a run's method, its task and the source of its rows.

    Args:
        task: the run's task, after `by_domain_task`.
        method: the method's section.
        source: name of the source of the rows.
        needs_domains: whether the method works with domains only.
    """
    # domains name columns of tables and folders of runs
    problems = [
        Problem("task.domains", name, f"task.domains has {name!r}; a domain is named with letters, digits, - and _")
        for name in task.domains
        if not PLAIN_NAME.fullmatch(name)
    ]
    if needs_domains and not task.domains:
        text = f"method={method.name} needs a task with domains, and task={task.name} has none{suggested_task()}"
        problems.append(Problem("task", task.name, text))
    elif isinstance(method, DomainSettings):
        problems += _settings_problems(method, task)
    refusal = unsupported_source(task, source)
    return [*problems, Problem("data", source, refusal)] if refusal else problems


def _settings_problems(method: DomainSettings, task: TaskConfig) -> list[Problem]:
    domain = method.domain
    key, value = ("method.domain", domain) if domain is not None else ("method.hold_out_domain", "true")
    if not task.domains:
        text = f"{key}={value}: task={task.name} has no domains{suggested_task()}"
        return [Problem(key, value, text)] if domain is not None or method.hold_out_domain else []
    if domain is None:
        text = f"{key}=true holds out method.domain, which is not set: name a domain, or all"
        return [Problem(key, value, text)] if method.hold_out_domain else []
    if domain != ALL and domain not in task.domains:
        ending = f"{did_you_mean(domain, task.domains)} ({', '.join([*task.domains, ALL])})"
        return [Problem(key, value, f"{key}={value}: unknown domain of {task.name}{ending}")]
    return []
