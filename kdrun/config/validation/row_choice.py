"""Rules for held-out rows, a teacher's own rows and unlabeled rows.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdrun import registry
from kdrun.config.data import REST, FilesDataConfig, GeneratedDataConfig
from kdrun.config.evaluation import AGREEMENT_ROWS, ReportedRows
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.config.task import HELD_OUT, POOLED
from kdrun.config.teacher import ALL_ROWS, FineTune, PromptedTeacherConfig, RecordedTeacherConfig
from kdrun.errors import Problem


def row_choice_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Every problem of the settings that choose rows of the task."""
    yield from _held_out_problems(config)
    yield from _agreement_problems(config, needs)
    if needs.teacher:
        yield from _teacher_row_problems(config)
    yield from _unlabeled_problems(config, needs)
    if config.data.unlabelled == REST:
        yield from _rest_problems(config)


def _held_out_problems(config: RunConfig) -> Iterator[Problem]:
    """Names of splits that are reserved, and a report on rows that the run does not have."""
    if config.evaluation.held_out is not None:
        return
    for name in (name for name in (HELD_OUT, POOLED) if name in config.task.rows):
        text = (
            f"task={config.task.name}: task.rows.{name}={config.task.rows[name]}: {name} is the split of "
            "evaluation.held_out=ROWS, which is not set; set it, or rename the split"
        )
        yield Problem("task.rows", name, text)
    if config.evaluation.report is not ReportedRows.held_out:
        value = config.evaluation.report.value
        text = f"evaluation.report={value} has no effect without held-out rows; add evaluation.held_out=ROWS"
        yield Problem("evaluation.report", value, text)


def _agreement_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Rows to measure agreement on, where answers have no classes to compare or the teacher cannot answer them."""
    task, rows = config.task, config.evaluation.agreement_rows
    key, text = f"evaluation.{AGREEMENT_ROWS}={rows}", None
    if rows is None:
        return
    if AGREEMENT_ROWS in task.rows:
        text = f"{key}: task={task.name} has a split of this name (task.rows.{AGREEMENT_ROWS}); rename the split"
    elif task.is_regression or task.is_text:
        why = "predicts a score" if task.is_regression else "is answered with text"
        text = f"{key}: task={task.name} {why}, and these rows are for tasks with classes; remove it"
    elif task.is_by_domain:
        text = f"{key}: task={task.name} has domains, whose scores are averaged; use evaluation.held_out, or remove it"
    elif needs.teacher and isinstance(config.teacher, RecordedTeacherConfig):
        text = f"{key}: teacher=recorded has no model that answers further rows; use evaluation.held_out, or remove it"
    if text is not None:
        yield Problem(f"evaluation.{AGREEMENT_ROWS}", rows, text)


def _teacher_row_problems(config: RunConfig) -> Iterator[Problem]:
    """A number of rows for the teacher that is none, has no effect, or is smaller than the student's."""
    section, data, value = config.teacher, config.data, config.teacher.train_rows
    if value is None or isinstance(section, RecordedTeacherConfig | PromptedTeacherConfig):
        return
    is_number, key = isinstance(value, int) and not isinstance(value, bool), f"teacher.train_rows={value}"
    text = None
    if value != ALL_ROWS and not (is_number and value > 0):
        text = f"{key}: give {ALL_ROWS}, or a number of rows"
    elif section.fine_tune is FineTune.never:
        text = f"{key} has no effect with teacher.fine_tune=never; remove one of them"
    elif config.task.is_by_domain:
        text = f"{key}: task={config.task.name} has domains, and teacher.domain_strategy chooses the rows; remove it"
    elif is_number and data.train_fraction not in (None, 1):
        text = f"{key}: with data.train_fraction it may lack rows of the student; set data.max_train_rows instead"
    elif is_number and data.max_train_rows is not None and value < data.max_train_rows:
        text = f"{key} is less than the student's data.max_train_rows={data.max_train_rows}; set at least that many"
    if text is not None:
        yield Problem("teacher.train_rows", value, text)


def _unlabeled_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Unlabeled rows for a method that cannot use them, or from a source that has none."""
    data, method = config.data, config.method.name
    key = f"data.unlabelled={data.unlabelled}"
    if data.unlabelled is not None and not needs.unlabeled:
        able = ", ".join(name for name, entry in registry.entries("method").items() if entry.target.requires.unlabeled)
        text = f"{key}: method={method} {_why_without(needs)}; methods that learn from such rows: {able}"
        yield Problem("data.unlabelled", data.unlabelled, text)
    elif data.unlabelled not in (None, REST) and config.task.is_text:
        text = f"{key}: task={config.task.name} is answered with text, and rows without labels are not mixed into it"
        yield Problem("data.unlabelled", data.unlabelled, f"{text}; remove it")
    elif data.unlabelled not in (None, REST) and not isinstance(data, FilesDataConfig):
        text = f"{key}: data={data.name} has no file of texts; take {REST} (the rows without labels), or data=files"
        yield Problem("data.unlabelled", data.unlabelled, text)
    if data.max_unlabelled_rows is not None and (data.unlabelled is None or not needs.unlabeled):
        text = f"data.max_unlabelled_rows={data.max_unlabelled_rows} has no effect without unlabeled rows"
        yield Problem("data.max_unlabelled_rows", data.max_unlabelled_rows, text)


def _why_without(needs: Requirements) -> str:
    """Why a method does not learn from unlabeled rows, as the end of a sentence."""
    if not needs.teacher:
        return "has no teacher that labels them"
    if needs.data_free:
        return "learns from the corpus (or ood.path=…) instead of rows of the task"
    return "uses the label of every row"


def _rest_problems(config: RunConfig) -> Iterator[Problem]:
    """The remaining training rows as unlabeled ones, where there are none or the task cannot use them."""
    data, task, key = config.data, config.task, f"data.unlabelled={REST}"
    text = None
    if isinstance(data, GeneratedDataConfig):
        text = f"{key}: with data=generated the student sees none of the task's training rows; remove it"
    elif task.is_by_domain or task.is_text:
        why = "has domains" if task.is_by_domain else "is answered with text"
        text = f"{key}: task={task.name} {why}, and rows without labels are not mixed into it; remove it"
    elif data.max_train_rows is None and data.train_fraction in (None, 1):
        text = f"{key}: the student has the label of every row; leave rows for it with data.max_train_rows=ROWS"
    if text is not None:
        yield Problem("data.unlabelled", REST, text)
