"""Synthetic stand-ins for every task, generated in memory.

Small grammars write the rows. Labels follow from the structure of the sentences (semantic roles, negation,
monotonicity, agreement), so word counts are not enough, yet a tiny transformer learns each task from scratch in less
than a minute.
"""

from kdrun.data.embedded.corpus import corpus
from kdrun.data.embedded.generate import TASKS, Rows, check_split_name, generate

__all__ = ["TASKS", "Rows", "check_split_name", "corpus", "generate"]
