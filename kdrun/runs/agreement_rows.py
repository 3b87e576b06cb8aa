"""Agreement of student and teacher on rows without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdrun import ranks, stage_times
from kdrun.config.evaluation import AGREEMENT_FILE, AGREEMENT_ROWS
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.runs import build
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.tasks.evaluator import prediction_rows
from kdrun.training.teacher import logits


def measure(run: PreparedRun, teacher: TeacherResult | None) -> TeacherResult | None:
    """Measure the agreement on the rows of `evaluation.agreement_rows`, if there are any, and write the answers.

    The teacher answers the rows once, through the cache. A student without a teacher has its answers written too:
    comparisons hold them against the teacher of other runs.

    Args:
        run: the run after the student's training.
        teacher: the teacher's result; None without a teacher.

    Returns:
        The teacher's result with the agreement.
    """
    if run.data.agreement is None:
        return teacher
    with stage_times.stage(stage_times.EVALUATIONS):
        student, answers = run.evaluator.outputs(run.roles["student"], _tokens(run, "student")), None
        if teacher is not None:
            evaluation = build.teacher_evaluation(run)
            answers = np.asarray(logits.cached_logits(run.roles["teacher"], _tokens(run, "teacher"), evaluation))
    if teacher is not None and answers is not None:
        measures = run.evaluator.task_type.agreement(student, answers)
        teacher = replace(teacher, agreement={**teacher.agreement, AGREEMENT_ROWS: measures})
    if ranks.is_first():
        assert run.run_dir is not None
        rows = run.data.agreement.table.to_pydict()
        lines = prediction_rows(run.config.task, AGREEMENT_ROWS, rows, student, answers)
        run.run_dir.predictions(lines, AGREEMENT_FILE)
    return teacher


def _tokens(run: PreparedRun, role: str) -> TokenizedSplit:
    assert run.data.agreement is not None
    bundle = run.roles[role]
    return tokenize(run.data.agreement, bundle.tokenizer, run.config.data.max_length, bundle.prompts)
