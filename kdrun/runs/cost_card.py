"""Cost of teacher and student of a run."""

from __future__ import annotations

from kdrun.data.splits import TEXT_COLUMNS, Split
from kdrun.deployment import cost
from kdrun.deployment.saved_model import load_saved
from kdrun.deployment.timing import spread
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.storage.cost_card import STUDENT, TEACHER, CostCard

NO_MODEL = "the run has no teacher that is a model here"


def measure_run(run: PreparedRun, teacher: TeacherResult | None) -> CostCard:
    """The cost of a run's teacher and of its saved student, on rows of the reported split."""
    assert run.run_dir is not None
    texts = split_texts(run.data.splits[run.config.task.report_split])
    subjects, reasons = {}, {}
    bundle = teacher.bundle if teacher else None
    if bundle is None:
        reasons[f"models.{TEACHER}"] = NO_MODEL
    else:
        subjects[TEACHER] = cost.bundle_subject(bundle, texts, run.config.data.max_length)
    subjects[STUDENT] = cost.student_subject(load_saved(run.run_dir.path), texts, run.roles[STUDENT].name)
    return cost.measure(subjects, reasons=reasons)


def split_texts(split: Split) -> list[tuple[str, ...]]:
    """The texts of a split's rows, at most `cost.MAX_TEXTS` of them, evenly spaced."""
    table = split.table.take(spread(split.num_rows, cost.MAX_TEXTS))
    columns = (table.column(name).to_pylist() for name in TEXT_COLUMNS if name in table.column_names)
    return list(zip(*columns, strict=True))
