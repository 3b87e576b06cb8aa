"""Rules for the teacher's domain strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdrun.config.domains import holds_out_domain, uses_domains
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.teacher import DomainStrategy, FineTune, PromptedTeacherConfig, RecordedTeacherConfig
from kdrun.errors import Problem

if TYPE_CHECKING:
    from kdrun.config.requirements import Requirements
    from kdrun.config.schema import RunConfig

KEY = "teacher.domain_strategy"


def domain_strategy_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Conflicts between the teacher's domain strategy, the method and the task."""
    if isinstance(config.teacher, RecordedTeacherConfig | PromptedTeacherConfig):
        return
    requested, method, task = config.teacher.domain_strategy, config.method, config.task
    if not task.is_by_domain or not needs.teacher:
        if requested is not None:
            why = f"task={task.name} has no domains" if needs.teacher else f"method={method.name} has no teacher"
            yield Problem(KEY, requested.value, f"{KEY}={requested.value}: {why}")
        return
    strategy = resolve_domain_strategy(config, needs)
    assert strategy is not None
    conflicts = list(_conflicts(strategy, method, task.domains, needs))
    if config.teacher.fine_tune is FineTune.never and strategy in (DomainStrategy.multi_task, DomainStrategy.meta):
        conflicts.append(f"{KEY}={strategy.value} is a way of fine-tuning, and teacher.fine_tune=never forbids it")
    yield from (Problem(KEY, strategy.value, text) for text in conflicts)


def _conflicts(strategy: DomainStrategy, method: Any, domains: list[str], needs: Requirements) -> Iterator[str]:
    is_held_out = holds_out_domain(method)
    if needs.meta_teacher and strategy is not DomainStrategy.meta:
        yield f"{KEY}={strategy.value}: method={method.name} needs {KEY}=meta"
    if strategy in (DomainStrategy.single, DomainStrategy.multi_task) and not uses_domains(method):
        yield f"{KEY}={strategy.value} is the teacher of one domain: name it, or all (method.domain=…)"
    if is_held_out and strategy in (DomainStrategy.single, DomainStrategy.multi_task):
        yield (
            f"method.hold_out_domain=true: a teacher of {KEY}={strategy.value} learns the very domain that is held "
            "out; take mixed or meta"
        )
    if strategy is DomainStrategy.meta and len(domains) - is_held_out < 2:
        yield f"{KEY}=meta learns what transfers between domains, and sees {len(domains) - is_held_out} here"
