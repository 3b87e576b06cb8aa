"""What ways of fine-tuning a teacher on several domains have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from kdrun.data.tokens import TokenTable
from kdrun.evaluation import Evaluator
from kdrun.method import Method, Needs, Parts


class DomainTeaching(Method):
    """A way to fine-tune a teacher; like a method, with the teacher in the student's place.

    `config` is `teacher.meta`; rows come with `extras["domain"]` and `extras["transferability"]`.
    """

    needs = Needs(teacher=False, domains=True)

    def __init__(self, config: Any, parts: Parts, seen: list[int]) -> None:
        """As a method's, with the domains that the rows are of, sorted."""
        super().__init__(config, parts)
        self.seen = seen

    def logits(self, evaluator: Evaluator, tokens: TokenTable, domains: np.ndarray) -> np.ndarray:
        """The teacher's logits on dev rows of these domains, [rows, classes]."""
        return evaluator.logits(self.roles["student"], tokens)

    def finish(self, folder: Path) -> None:
        """Called before the model is saved: write what lies outside of it into the folder."""

    @staticmethod
    def part(model: nn.Module, folder: Path, domain: int | None, config: Any) -> dict[str, nn.Module]:
        """Turn a model read back from the folder into the teacher of one domain; None where the student is of all.

        Returns:
            Modules beside the model, by the role that a method knows them by.
        """
        raise NotImplementedError
