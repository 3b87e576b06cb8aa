"""Synthetic stand-ins for every task, generated in memory.

Small grammars write the rows. Labels follow from the structure of the sentences (who did what
to whom, negation, monotonicity, agreement), so counting words is not enough, yet a tiny
transformer learns each task from scratch in well under a minute.
"""

from kdrun.data.embedded.corpus import corpus
from kdrun.data.embedded.generate import TASKS, Rows, generate

__all__ = ["TASKS", "Rows", "corpus", "generate"]
