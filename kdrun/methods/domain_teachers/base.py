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
    """A way to fine-tune a teacher; like a method, with the teacher in the student's place.

    `config` is `teacher.meta`; rows come with `extras["domain"]` and `extras["transferability"]`.
    """

    requires = Requirements(teacher=False, domains=True)
    cache_name: ClassVar[str]
    """Names the class in the cache key of its teachers; never changes."""

    def __init__(self, config: Any, parts: MethodContext, seen: list[int]) -> None:
        """As a method's, with the domains that the rows are of, sorted."""
        super().__init__(config, parts)
        self.seen = seen

    def logits(self, predictor: Predictor, tokens: TokenizedSplit, domains: np.ndarray) -> np.ndarray:
        """The teacher's logits on dev rows of these domains, [rows, classes]."""
        return predictor.logits(self.roles["student"], tokens, self.context.task.num_outputs)

    def save_extra_modules(self, folder: Path) -> None:
        """Called before the model is saved: write what lies outside of it into the folder."""

    @staticmethod
    def load_for_domain(model: nn.Module, folder: Path, domain: int | None, config: Any) -> dict[str, nn.Module]:
        """Turn a model read back from the folder into the teacher of one domain; None where the student is of all.

        Returns:
            Modules beside the model, by the role that a method knows them by.
        """
        raise NotImplementedError
