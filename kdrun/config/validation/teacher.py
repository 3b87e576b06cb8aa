"""Rules for the teacher's domain strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.teacher import DomainStrategy

if TYPE_CHECKING:
    from kdrun.config.requirements import Requirements
    from kdrun.config.schema import RunConfig


def domain_strategy_problems(config: RunConfig, needs: Requirements) -> Iterator[str]:
    """What does not fit between the teacher's lessons, the method and the task, as sentences."""
    asked, method, task = config.teacher.domain_strategy, config.method, config.task
    if not task.is_by_domain or not needs.teacher:
        if asked is not None:
            why = f"task={task.name} has no domains" if needs.teacher else f"method={method.name} has no teacher"
            yield f"teacher.domain_strategy={asked.value}: {why}"
        return
    kind = resolve_domain_strategy(config, needs)
    assert kind is not None
    yield from _unfit(kind, method, task.domains, needs)
    if kind in (DomainStrategy.multi_task, DomainStrategy.meta) and config.teacher.fine_tune.value == "never":
        yield f"teacher.domain_strategy={kind.value} is a way of fine-tuning, and teacher.fine_tune=never forbids it"


def _unfit(kind: DomainStrategy, method: Any, names: list[str], needs: Requirements) -> Iterator[str]:
    domain, held_out = getattr(method, "domain", None), getattr(method, "hold_out_domain", False)
    if needs.meta_teacher and kind is not DomainStrategy.meta:
        yield f"teacher.domain_strategy={kind.value}: method={method.name} needs teacher.domain_strategy=meta"
    if kind in (DomainStrategy.single, DomainStrategy.multi_task) and domain is None:
        yield f"teacher.domain_strategy={kind.value} is the teacher of one domain: name it, or all (method.domain=…)"
    if held_out and kind in (DomainStrategy.single, DomainStrategy.multi_task):
        yield (
            f"method.hold_out_domain=true: a teacher of teacher.domain_strategy={kind.value} learns the very domain "
            "that is held out; take mixed or meta"
        )
    if kind is DomainStrategy.meta and len(names) - held_out < 2:
        count = len(names) - held_out
        yield f"teacher.domain_strategy=meta learns what transfers between domains, and sees {count} here"
