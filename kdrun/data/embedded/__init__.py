"""Synthetic stand-ins for the nine GLUE tasks and the Amazon reviews, made in memory without any network.

Small grammars write the rows. Labels follow from the structure of the sentences (who did what
to whom, negation, monotonicity, agreement), so counting words is not enough, yet a tiny
transformer learns each task from scratch in well under a minute.
"""

from __future__ import annotations

from kdrun.data.embedded.corpus import corpus
from kdrun.data.embedded.generation import DOMAINS, TASKS, Rows, generate

__all__ = ["DOMAINS", "TASKS", "Rows", "corpus", "generate"]
