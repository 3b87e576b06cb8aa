"""Notes on a teacher that may have been trained on held-out rows."""

from __future__ import annotations

from kdrun.data import seen_rows
from kdrun.runs.context import PreparedRun
from kdrun.training.teacher import finetune


def notes_on_origin(run: PreparedRun) -> list[str]:
    """A note on a teacher that may have seen held-out rows: one that is not fine-tuned here, of unknown origin."""
    section = run.config.teacher
    rows = run.config.evaluation
    if (rows.held_out is None and rows.agreement_rows is None) or not run.requires.teacher:
        return []
    if run.recorded is None:
        if finetune.needs_finetuning(section, run.roles["teacher"]):
            return []
        if section.path is not None and seen_rows.is_recorded(section.path):
            return []
    return [
        "it is not fine-tuned here, so it may have been trained on held-out rows; its score on them, and the agreement "
        "with it, may then be too high"
    ]
