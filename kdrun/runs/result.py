"""The content of result.json."""

from __future__ import annotations

from typing import Literal

from kdrun import stage_times
from kdrun.config.runtime import CheckpointSelection
from kdrun.config.task import POOLED
from kdrun.data.loader import BatchLoader
from kdrun.data.special_tokens import count_rows
from kdrun.data.splits import UNLABELED
from kdrun.models import parameters
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.runs.export.generated_text import plan
from kdrun.runs.provenance import provenance
from kdrun.runs.recorded import why_unknown
from kdrun.storage.run_result import (
    SCHEMA,
    CheckpointResult,
    DataResult,
    GeneratedOrigin,
    GeneratedTextResult,
    Headline,
    ModelResult,
    RunResult,
    Scores,
    StoppedRole,
    TeacherModelResult,
    TimeResult,
)
from kdrun.training.trainer import TrainResult
from kdrun.version import __version__

NO_MODEL = "the teacher is recorded: its files have answers, and do not describe its model"
"""Why facts about the model of a recorded teacher are null."""
TRAINED_ROLES: tuple[Literal["teacher", "student"], ...] = ("teacher", "student")


def build_result(
    run: PreparedRun,
    teacher: TeacherResult | None,
    scores: Scores,
    loader: BatchLoader,
    training: TrainResult,
    generated: GeneratedTextResult | None,
) -> RunResult:
    """The content of result.json; every null has its reason under `reasons`.

    Args:
        run: the run with its models.
        teacher: the evaluated teacher; None without a teacher.
        scores: scores of the student.
        loader: batch loader, which has counted the rows that the student read.
        training: training of the student.
        generated: exported text.
    """
    config = run.config
    split, metric = config.task.report_split, config.task.headline
    student = _model(run, "student", scores)
    teacher_model = _teacher(run, teacher.scores) if teacher and teacher.scores else None
    score, teacher_score = scores[split][metric], teacher_model["metrics"][split][metric] if teacher_model else None
    result: RunResult = {
        "schema": SCHEMA,
        "kdrun": __version__,
        "status": "done",
        "method": config.method.name,
        "task": config.task.name,
        "preset": config.preset,
        "data": _data(run, teacher, loader),
        "seed": config.seed,
        "headline": _headline(metric, split, run.data.reported_rows),
        "checkpoint": _checkpoint(run.select, training, config.task.dev_splits[0], split),
        "guess": run.evaluator.majority_baseline(),
        "teacher": teacher_model,
        "student": student,
        "retention": score / teacher_score if score is not None and teacher_score else None,
        "compression": _compression(teacher_model, student),
        "time": _time(run, training),
        "stages": _stages(),
        "steps": training.steps,
        "rests": [
            StoppedRole(role=stop["role"], phase=stop["phase"], step=stop["step"], why=stop["why"])
            for stop in training.stopped_roles
        ],
        "generated": generated,
        "provenance": provenance(config, run.data.fingerprint, run.command),
        "reasons": {},
    }
    result["reasons"] = _reasons(result, run)
    if teacher is not None and teacher.agreement:
        result["agreement"] = teacher.agreement
    return result


def _time(run: PreparedRun, training: TrainResult) -> TimeResult:
    rate = training.examples / training.train_seconds if training.train_seconds else None
    return {
        "total_s": round(run.stopwatch.seconds(), 2),
        "train_s": round(training.train_seconds, 2),
        "examples_per_s": round(rate, 1) if rate else None,
    }


def _stages() -> dict[str, dict[str, float]]:
    """Time of each stage so far; the report comes later."""
    return {name: {"s": round(wall, 2), "cpu_s": round(cpu, 2)} for name, (wall, cpu) in stage_times.in_order().items()}


def _headline(metric: str, split: str, rows: str | None) -> Headline:
    headline: Headline = {"metric": metric, "split": split}
    return headline if rows is None else {**headline, "rows": rows}


def _compression(teacher: TeacherModelResult | None, student: ModelResult) -> float | None:
    size = teacher["params"] if teacher else None
    return size / student["params"] if size is not None else None


def _teacher(run: PreparedRun, scores: Scores) -> TeacherModelResult:
    if run.recorded is not None:
        return {"name": run.recorded.name, "params": None, "metrics": scores}
    model = _model(run, "teacher", scores)
    return {"name": model["name"], "params": model["params"], "metrics": scores}


def _model(run: PreparedRun, role: str, scores: Scores) -> ModelResult:
    bundle = run.roles[role]
    return {"name": bundle.name, "params": parameters.count_parameters(bundle.model), "metrics": scores}


def _data(run: PreparedRun, teacher: TeacherResult | None, loader: BatchLoader) -> DataResult:
    """Rows and labels that student and teacher read."""
    data = run.data
    by_domain = dict(teacher.rows_read or {}) if teacher else {"all": 0}
    readers = [role for role in run.used_roles if role != "generator"]
    return {
        "name": data.display_name,
        "source": data.source,
        "synthetic": data.synthetic,
        "train_rows_read": loader.num_rows_seen("train"),
        "labels_read": loader.num_labels_seen,
        "ood_rows_read": loader.num_rows_seen("ood"),
        "generated_rows_read": loader.num_rows_seen("generated"),
        "unlabelled_rows_read": loader.num_rows_seen(UNLABELED),
        "generated": _origin(run),
        "train_rows_read_for_teacher": by_domain.pop("all") if by_domain else None,
        "rows_read_for_teacher_by_domain": by_domain,
        "rows": data.row_counts,
        "rows_by_domain": {name: data.rows_by_domain(name) for name in data.splits},
        "truncated": {
            role: {name: tokens.num_truncated for name, tokens in splits.items() if tokens.num_truncated is not None}
            for role, splits in ((role, run.tokens(role)) for role in readers)
        },
        "special_tokens": {role: count_rows(run.text_splits, run.roles[role].tokenizer) for role in readers},
    }


def _origin(run: PreparedRun) -> GeneratedOrigin | None:
    """How the student's generated text was made, and whether this run's teacher scored it."""
    card = run.data.card
    if card is None:
        return None
    teacher = run.roles.get("teacher") if run.requires.teacher else None
    scored_by = card.get("teacher")
    is_same = None if teacher is None or scored_by is None else teacher.fingerprint == scored_by["fingerprint"]
    return {
        "method": card["method"],
        "seed": card["seed"],
        "generator": card["generator"],
        "command": card["provenance"]["command"],
        "teacher": None if scored_by is None else scored_by["name"],
        "same_teacher": is_same,
        "sha256": card["file"]["sha256"],
    }


def _reasons(result: RunResult, run: PreparedRun) -> dict[str, str]:
    """Why each null of a result is null."""
    reasons = {}
    if result["generated"] is None:
        reasons["generated"] = plan.why_not_exported(run.config)
    if result["data"]["generated"] is None:
        reasons["data.generated"] = "the student did not learn from generated text, or it has no card"
    elif result["data"]["generated"]["teacher"] is None:
        reasons["data.generated.teacher"] = "the text was written for its classes, and no teacher scored it"
    if result["data"]["train_rows_read_for_teacher"] is None:
        older = "the teacher is of an older cache entry, which does not say"
        reasons["data.train_rows_read_for_teacher"] = older if run.recorded is None else NO_MODEL
    if result["teacher"] is None:
        without = f"method={result['method']} uses no teacher"
        reasons |= {"teacher": without, "retention": without, "compression": without}
    else:
        unknown = why_unknown(run).get(result["headline"]["split"])
        if result["teacher"]["params"] is None:
            reasons |= {"teacher.params": NO_MODEL, "compression": NO_MODEL}
        if result["retention"] is None:
            undefined = "the headline metric of teacher or student is undefined or zero"
            reasons["retention"] = f"the teacher's score on {unknown}" if unknown else undefined
    for role in TRAINED_ROLES:
        model = result[role]
        for split, values in model["metrics"].items() if model else ():
            for metric in (name for name, value in values.items() if value is None):
                unknown = why_unknown(run).get(split) if role == "teacher" else None
                if run.recorded is not None and role == "teacher" and split in run.config.evaluation.extra:
                    unknown = "an extra split, which the files of a recorded teacher do not cover"
                why = f"the score on {unknown}" if unknown else run.evaluator.task_type.why_undefined(metric)
                reasons[f"{role}.metrics.{split}.{metric}"] = why
    return reasons


def _checkpoint(select: CheckpointSelection, training: TrainResult, split: str, reported: str) -> CheckpointResult:
    """Which checkpoint of the student was evaluated, and how the choosing split relates to the reported one."""
    if select is CheckpointSelection.best_dev:
        same = "the scores reported are of that same split"
        different = f"the scores reported are of {reported}, which was scored once, at the end"
        if reported == POOLED:
            different = f"the scores reported are of {reported}: its held-out rows were scored once, at the end"
        note = same if split == reported else different
        return {"selected": "best_dev", "split": split, "step": training.best_step, "note": note}
    return {"selected": "last", "split": None, "step": sum(training.steps.values()), "note": None}
