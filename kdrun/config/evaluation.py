"""Evaluation section: rows besides the task's own dev splits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.config.fields import setting
from kdrun.config.task import HELD_OUT, POOLED, TaskConfig

AGREEMENT_ROWS = "agreement_rows"
"""Name of the rows of `evaluation.agreement_rows`, in results too."""
AGREEMENT_FILE = "agreement.jsonl"
"""File of a run with the answers on these rows."""


class ReportedRows(Enum):
    """Rows that the results of a run with held-out rows are reported on.

    `held_out`: the held-out rows. `pooled`: the rows of the task's reported split and the held-out rows together.
    """

    held_out = HELD_OUT
    pooled = POOLED


@dataclass
class EvaluationConfig:
    """What the finished models are scored on besides the task's dev splits."""

    extra: list[str] = setting(
        [], "names of further labeled splits (task.extra): scored at the end, and never trained on or chosen by"
    )
    held_out: int | None = setting(
        None,
        "hold about this many training rows out of all training, in whole groups (all phrases of a sentence, pairs "
        "that share a text), and report on them",
        gt=0,
    )
    held_out_seed: int = setting(
        1, "which rows are held out; not the run's seed, so that all runs of a comparison have the same", ge=0
    )
    report: ReportedRows = setting(
        ReportedRows.held_out,
        "with held_out, the rows that are reported: held_out, or pooled (the task's reported split and held_out)",
    )
    agreement_rows: int | None = setting(
        None,
        "hold about this many further training rows out of all training, in whole groups, and measure the student's "
        "agreement with its teacher on them; their labels are not used",
        gt=0,
    )


def with_held_out(task: TaskConfig, evaluation: EvaluationConfig) -> TaskConfig:
    """The task with the split of held-out rows that `evaluation` configures, as its last and reported one."""
    if evaluation.held_out is None or evaluation.held_out < 1:  # validation refuses other numbers
        return task
    return task.with_split(evaluation.report.value, evaluation.held_out)
