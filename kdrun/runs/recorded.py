"""A recorded teacher in a run: its answers on the run's rows."""

from __future__ import annotations

from kdrun import progress
from kdrun.config.teacher import RecordedTeacherConfig
from kdrun.data.dataset import TaskDataset
from kdrun.data.recorded.teacher import RecordedTeacher, match_rows
from kdrun.errors import ConfigError, Problem
from kdrun.formatting import plural
from kdrun.runs.context import PreparedRun, RunContext


def recorded_teacher(context: RunContext, data: TaskDataset) -> RecordedTeacher | None:
    """The answers of a recorded teacher on the run's rows; None with another teacher, or without one.

    Raises:
        ConfigError: the loss compares raw logits, and the files have probabilities.
        DataError: a file lacks rows of the student, or is malformed.
    """
    config = context.config
    if not context.requires.teacher or not isinstance(config.teacher, RecordedTeacherConfig):
        return None
    with progress.track("matching the recorded teacher with the rows"):
        recorded = match_rows(config, data)
    if config.loss.name == "logit_mse" and not recorded.exact and not config.task.is_regression:
        text = (
            "loss=logit_mse compares raw logits, and the recorded teacher has probabilities, whose logits are known up "
            "to a constant per row; take loss=kl"
        )
        raise ConfigError([Problem("loss", "logit_mse", text)])
    return recorded


def notes_on(run: PreparedRun) -> list[str]:
    """Remarks on a recorded teacher for readers of the run; empty with another teacher."""
    if run.recorded is None:
        return []
    return [*run.recorded.notes, *(f"its score on {why}" for why in why_unknown(run).values())]


def why_unknown(run: PreparedRun) -> dict[str, str]:
    """Dev split → why a recorded teacher has no score on the split; empty if it has all."""
    if run.recorded is None:
        return {}
    return {
        split: f"{split} is unknown: its files have no answer for {missing} of "
        f"{plural(run.data.splits[split].num_rows, 'row')}"
        for split, missing in run.recorded.uncovered.items()
    }
