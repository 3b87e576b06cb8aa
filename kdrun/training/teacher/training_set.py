"""Training rows of a teacher, and its strategy for several domains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdrun.config.teacher import DomainStrategy
from kdrun.data.target_sequences import TargetSequences
from kdrun.data.tokenization import TokenizedSplit
from kdrun.methods.domain_teachers.base import DomainTeacherMethod
from kdrun.methods.domain_teachers.meta import MetaTeacher
from kdrun.methods.domain_teachers.multi_task import MultiTaskTeacher
from kdrun.storage import hashing

STRATEGY_CLASSES: dict[DomainStrategy, type[DomainTeacherMethod]] = {
    DomainStrategy.multi_task: MultiTaskTeacher,
    DomainStrategy.meta: MetaTeacher,
}


@dataclass(frozen=True)
class TeacherTrainingSet:
    """Training rows of a teacher, and its strategy for several domains.

    Attributes:
        tokens: token ids of the rows.
        labels: the gold labels; None for a task that is answered with text.
        targets: the gold answers of such a task.
        strategy: domain strategy; None for a task without domains.
        domains: index of each row's domain; None for rows without domains.
        transferability: t(x) of each row, for a meta-teacher.
        target: the student's domain, for a strategy that trains several teachers at once.
    """

    tokens: TokenizedSplit
    labels: np.ndarray | None
    targets: TargetSequences | None = None
    strategy: DomainStrategy | None = None
    domains: np.ndarray | None = None
    transferability: np.ndarray | None = None
    target: int | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the labels or answers."""
        if self.targets is not None:
            return self.targets.fingerprint
        assert self.labels is not None
        return hashing.digest(self.labels.astype(float).tolist())

    @property
    def strategy_class(self) -> type[DomainTeacherMethod] | None:
        """The method of the strategy; None for plain fine-tuning."""
        return None if self.strategy is None else STRATEGY_CLASSES.get(self.strategy)

    @property
    def extras(self) -> dict[str, np.ndarray]:
        """Values per row that batches carry for the strategy."""
        if self.strategy_class is None:
            return {}
        columns = {"domain": self.domains, "transferability": self.transferability}
        return {name: values for name, values in columns.items() if values is not None}
