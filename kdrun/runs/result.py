"""The content of result.json."""

from __future__ import annotations

import time
from typing import Any

from kdrun import __version__
from kdrun.config.runtime import CheckpointSelection
from kdrun.data.loader import BatchLoader
from kdrun.models import parameters
from kdrun.runs.context import RunContext
from kdrun.runs.export.generated_text import plan
from kdrun.runs.provenance import provenance
from kdrun.tasks.evaluator import Scores
from kdrun.training.trainer import TrainResult


def build_result(run: RunContext, scores: Scores, feed: BatchLoader, outcome: TrainResult) -> dict[str, Any]:
    """The content of result.json; what is null has its reason under `reasons`."""
    config, student = run.config, run.roles["student"]
    params = {role: parameters.count_parameters(run.roles[role].model) for role in run.used_roles}
    split, metric = config.task.report_split, config.task.headline
    top = run.teacher_scores[split][metric] if run.teacher_scores else None
    value = scores[split][metric]
    rate = outcome.examples / outcome.train_seconds if outcome.train_seconds else None
    read = dict(run.finetuned_teacher.rows_read or {}) if run.finetuned_teacher else {"all": 0}
    made: dict[str, Any] = {
        "kdrun": __version__,
        "status": "done",
        "method": config.method.name,
        "task": config.task.name,
        "preset": config.preset,
        "data": {
            "name": run.data.display_name,
            "source": run.data.source,
            "synthetic": run.data.synthetic,
            "train_rows_read": feed.num_rows_seen("train"),
            "labels_read": feed.num_labels_seen,
            "ood_rows_read": feed.num_rows_seen("ood"),
            "generated_rows_read": feed.num_rows_seen("generated"),
            "generated": _origin(run),
            "train_rows_read_for_teacher": read.pop("all") if read else None,
            "rows_read_for_teacher_by_domain": read,
            "rows": {name: part.num_rows for name, part in run.data.all_splits.items()},
            "rows_by_domain": {name: run.data.rows_by_domain(name) for name in run.data.splits},
        },
        "seed": config.seed,
        "headline": {"metric": metric, "split": split},
        "checkpoint": _choice(run.select, outcome, config.task.dev_splits[0], split),
        "guess": run.evaluator.majority_baseline(),
        "teacher": None,
        "student": {"name": student.name, "params": params["student"], "metrics": scores},
        "retention": value / top if value is not None and top else None,
        "compression": params["teacher"] / params["student"] if "teacher" in params else None,
        "time": {
            "total_s": round(time.perf_counter() - run.started, 2),
            "train_s": round(outcome.train_seconds, 2),
            "examples_per_s": round(rate, 1) if rate else None,
        },
        "steps": outcome.steps,
        "rests": outcome.stopped_roles,
        "generated": run.generated,
        "provenance": provenance(config, run.data.fingerprint, run.command),
    }
    if run.teacher_scores is not None:
        name = run.roles["teacher"].name
        made["teacher"] = {"name": name, "params": params["teacher"], "metrics": run.teacher_scores}
    made["reasons"] = _reasons(made, run)
    return made


def _origin(run: RunContext) -> dict[str, Any] | None:
    """How the generated text that the student learnt from was made, and whether by this very teacher's scores."""
    card = run.data.card
    if card is None:
        return None
    origin = {key: card[key] for key in ("method", "seed", "generator")} | {"command": card["provenance"]["command"]}
    own = run.roles["teacher"].fingerprint == card["teacher"]["fingerprint"] if run.requires.teacher else None
    return origin | {"teacher": card["teacher"]["name"], "same_teacher": own, "sha256": card["file"]["sha256"]}


def _reasons(made: dict[str, Any], run: RunContext) -> dict[str, str]:
    """Why each null of a result is null."""
    reasons = {}
    if made["generated"] is None:
        reasons["generated"] = plan.why_not_exported(run.config)
    if made["data"]["generated"] is None:
        reasons["data.generated"] = "the student did not learn from generated text, or it has no card"
    if made["data"]["train_rows_read_for_teacher"] is None:
        reasons["data.train_rows_read_for_teacher"] = "the teacher is of an older cache entry, which does not say"
    if made["teacher"] is None:
        without = f"method={made['method']} uses no teacher"
        reasons |= {"teacher": without, "retention": without, "compression": without}
    elif made["retention"] is None:
        reasons["retention"] = "the headline metric of teacher or student is undefined or zero"
    for role in run.used_roles:
        if made.get(role):
            for part, values in made[role]["metrics"].items():
                for metric in (m for m, v in values.items() if v is None):
                    reasons[f"{role}.metrics.{part}.{metric}"] = run.evaluator.task_type.why_undefined()
    return reasons


def _choice(select: CheckpointSelection, outcome: TrainResult, split: str, reported: str) -> dict[str, Any]:
    if select is CheckpointSelection.best_dev:
        same = "the scores reported are of that same split"
        apart = f"the scores reported are of {reported}, which was scored once, at the end"
        note = same if split == reported else apart
        return {"selected": "best_dev", "split": split, "step": outcome.best_step, "note": note}
    return {"selected": "last", "split": None, "step": sum(outcome.steps.values()), "note": None}
