"""Defaults that depend on more than one section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdrun.config.teacher import DomainStrategy, PromptedTeacherConfig, RecordedTeacherConfig

if TYPE_CHECKING:
    from kdrun.config.requirements import Requirements
    from kdrun.config.schema import RunConfig


def resolve_domain_strategy(config: RunConfig, needs: Requirements) -> DomainStrategy | None:
    """The domain strategy of a run's teacher; None where its rows have no domains, or it is not trained here.

    The default is a meta-teacher where the method requires one, else a teacher of the student's rows: of a single
    domain, or of all domains mixed.
    """
    from kdrun.config import domains

    if not config.task.is_by_domain or isinstance(config.teacher, RecordedTeacherConfig | PromptedTeacherConfig):
        return None
    if config.teacher.domain_strategy is not None:
        return config.teacher.domain_strategy
    if needs.meta_teacher:
        return DomainStrategy.meta
    return DomainStrategy.single if domains.uses_domains(config.method) else DomainStrategy.mixed
