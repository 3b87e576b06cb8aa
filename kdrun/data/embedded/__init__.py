"""Synthetic stand-ins for the nine GLUE tasks, made in memory without any network.

Small grammars write the rows. Labels follow from the structure of the sentences (who did what
to whom, negation, monotonicity, agreement), so counting words is not enough, yet a tiny
transformer learns each task from scratch in well under a minute.
"""

from __future__ import annotations

from kdrun.data.embedded.corpus import corpus
from kdrun.data.embedded.generation import TASKS, Rows, generate

__all__ = ["TASKS", "Rows", "corpus", "generate"]
