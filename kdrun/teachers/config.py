"""Settings of teachers that learn from several domains; without torch, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.settings import setting


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
