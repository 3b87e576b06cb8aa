"""Settings of teachers that learn from several domains; without torch, for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from kdrun.settings import setting

if TYPE_CHECKING:
    from kdrun.config import Config
    from kdrun.method import Needs


class TeacherLessons(Enum):
    """What a teacher is fine-tuned on, where the task has domains, and how.

    `single`: the student's domain alone. `mixed`: all domains as one task. `multi_task`: all domains, one output
    layer each on a shared encoder. `meta`: all domains, towards what transfers between them (Meta-KD).
    """

    single = "single"
    mixed = "mixed"
    multi_task = "multi_task"
    meta = "meta"


class Prototypes(Enum):
    """What a prototype is the mean of: the rows of one class in a domain, or all rows of a domain."""

    class_ = "class"
    domain = "domain"


class Corruption(Enum):
    """Which domain the meta-teacher's domain branch is taught: a wrong one, or the batch's permuted."""

    wrong = "wrong"
    permuted = "permuted"


@dataclass
class MetaTeaching:
    """Settings of the meta-teacher (arXiv 2012.01266)."""

    own_weight: float = setting(0.5, "α: share of the own domain's prototype in a row's transferability", ge=0, le=1)
    domain_weight: float = setting(0.5, "γ₁: weight of the domain corruption", ge=0)
    prototypes: Prototypes = setting(Prototypes.class_, "what a prototype is the mean of")
    corruption: Corruption = setting(Corruption.wrong, "which domain the domain branch is taught")
    dropout: float = setting(0.1, "dropout between domain vector and its softmax", ge=0, lt=1)


def lessons_of(config: Config, needs: Needs) -> TeacherLessons | None:
    """How a run's teacher learns from domains; None where its rows have none.

    By itself a meta-teacher where the method asks for one, else one of the student's own rows: a single domain's, or
    all domains mixed.
    """
    from kdrun.data import domains

    if not config.task.is_by_domain:
        return None
    if config.teacher.lessons is not None:
        return config.teacher.lessons
    if needs.meta_teacher:
        return TeacherLessons.meta
    return TeacherLessons.single if domains.asks(config.method) else TeacherLessons.mixed


def problems(config: Config, needs: Needs) -> Iterator[str]:
    """What does not fit between the teacher's lessons, the method and the task, as sentences."""
    asked, method, task = config.teacher.lessons, config.method, config.task
    if not task.is_by_domain or not needs.teacher:
        if asked is not None:
            why = f"task={task.name} has no domains" if needs.teacher else f"method={method.name} has no teacher"
            yield f"teacher.lessons={asked.value}: {why}"
        return
    kind = lessons_of(config, needs)
    assert kind is not None
    yield from _unfit(kind, method, task.domains, needs)
    if kind in (TeacherLessons.multi_task, TeacherLessons.meta) and config.teacher.fine_tune.value == "never":
        yield f"teacher.lessons={kind.value} is a way of fine-tuning, and teacher.fine_tune=never forbids it"


def _unfit(kind: TeacherLessons, method: Any, names: list[str], needs: Needs) -> Iterator[str]:
    domain, held_out = getattr(method, "domain", None), getattr(method, "hold_out_domain", False)
    if needs.meta_teacher and kind is not TeacherLessons.meta:
        yield f"teacher.lessons={kind.value}: method={method.name} needs teacher.lessons=meta"
    if kind in (TeacherLessons.single, TeacherLessons.multi_task) and domain is None:
        yield f"teacher.lessons={kind.value} is the teacher of one domain: name it, or all (method.domain=…)"
    if held_out and kind in (TeacherLessons.single, TeacherLessons.multi_task):
        yield (
            f"method.hold_out_domain=true: a teacher of teacher.lessons={kind.value} learns the very domain that is "
            "held out; take mixed or meta"
        )
    if kind is TeacherLessons.meta and len(names) - held_out < 2:
        yield f"teacher.lessons=meta learns what transfers between domains, and sees {len(names) - held_out} here"
