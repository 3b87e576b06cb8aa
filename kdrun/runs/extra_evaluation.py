"""Score the finished models on extra splits, which nothing else has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kdrun import progress
from kdrun.data.extra_splits import ExtraSplit, read_extra_split
from kdrun.data.splits import count_overlap
from kdrun.data.tokenization import tokenize
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.storage.run_result import RunResult, Scores
from kdrun.tasks import metrics
from kdrun.tasks.base import softmax


def read_extra_splits(run: PreparedRun) -> list[ExtraSplit]:
    """The splits of `evaluation.extra`, before training, so that a missing one is found early."""
    extras = []
    for name in run.config.evaluation.extra:
        with progress.track(f"reading {name}"):
            extras.append(read_extra_split(run.config.task, name))
        split = extras[-1].split
        shared = count_overlap(run.data.student_rows, split)
        notes = [*split.notes, *([f"{shared} of {split.num_rows} {name} rows also appear in train"] if shared else [])]
        for note in notes:
            run.console.note(note)
    return extras


def score_extra_splits(run: PreparedRun, role: str, extras: Sequence[ExtraSplit]) -> Scores:
    """The task's metrics of a model on extra splits.

    The predicted class is the task's, read as the class of the split that it means: for HANS, neutral and contradiction
    are non-entailment (McCoy, Pavlick, Linzen 2019, section 4). The probabilities of merged classes add up.

    Args:
        run: the run.
        role: the model.
        extras: the splits.
    """
    bundle, scores = run.roles[role], {}
    for extra in extras:
        tokens = tokenize(extra.split, bundle.tokenizer, run.config.data.max_length, bundle.prompts)
        logits = run.evaluator.outputs(bundle, tokens)
        probabilities = softmax(logits.astype(np.float64)) @ np.eye(len(extra.labels))[extra.merged]
        predictions = extra.merged[logits.argmax(axis=-1)]
        scores[extra.name] = metrics.compute(run.config.task.metrics, predictions, extra.split.labels(), probabilities)
    return scores


def with_extra_scores(
    run: PreparedRun, teacher: TeacherResult | None, extras: Sequence[ExtraSplit]
) -> TeacherResult | None:
    """The teacher's result with its scores on extra splits; undefined for a recorded teacher, which has no model."""
    if teacher is None or teacher.scores is None or not extras:
        return teacher
    scores: Scores = {extra.name: dict.fromkeys(run.config.task.metrics) for extra in extras}
    if teacher.bundle is not None:
        scores = score_extra_splits(run, "teacher", extras)
    return replace(teacher, scores=teacher.scores | scores)


def add_to_result(run: PreparedRun, result: RunResult, extras: Sequence[ExtraSplit]) -> None:
    """Add the extra splits to a result: their rows, their origin, and the score of their most frequent class."""
    if not extras:
        return
    result["extra"] = {extra.name: {"rows": extra.split.num_rows, "origin": extra.split.origin} for extra in extras}
    for extra in extras:
        task = replace(run.config.task, labels=extra.labels)
        result["guess"][extra.name] = metrics.majority_baseline(task, extra.split.labels())
