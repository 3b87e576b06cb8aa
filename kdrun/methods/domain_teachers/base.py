"""Base of methods that fine-tune a teacher on several domains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import nn

from kdrun.config.requirements import Requirements
from kdrun.data.tokenization import TokenizedSplit
from kdrun.methods.base import Method, MethodContext
from kdrun.tasks.predictor import Predictor


class DomainTeacherMethod(Method):
    """Base of methods that fine-tune a teacher, which has the role `student` in them.

    `config` is `teacher.meta`; batches have `extras["domain"]` and `extras["transferability"]`.

    Args:
        config: settings of the teacher.
        context: models, task, losses and seed.
        seen: indices of the domains of the training rows, sorted.
    """

    requires = Requirements(teacher=False, domains=True)
    cache_name: ClassVar[str]
    """Names the class in the cache key of its teachers; never changes."""

    def __init__(self, config: Any, context: MethodContext, seen: list[int]) -> None:
        super().__init__(config, context)
        self.seen = seen

    def logits(self, predictor: Predictor, tokens: TokenizedSplit, domains: np.ndarray) -> np.ndarray:
        """Logits of the teacher on dev rows of the given domains, [rows, classes]."""
        return predictor.logits(self.roles["student"], tokens, self.context.task.num_outputs)

    def save_extra_modules(self, folder: Path) -> None:
        """Write modules that are not part of the model into its folder; called before the model is saved."""

    @staticmethod
    def load_for_domain(model: nn.Module, folder: Path, domain: int | None, config: Any) -> dict[str, nn.Module]:
        """Turn a model loaded from the folder into the teacher of one domain.

        Args:
            model: as saved.
            folder: of the model.
            domain: index of the student's domain; None for a student of all domains.
            config: settings of the teacher.

        Returns:
            Further modules, by role.
        """
        raise NotImplementedError
