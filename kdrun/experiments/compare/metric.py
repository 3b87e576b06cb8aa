"""Metric of a comparison: one of the task, or agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kdrun import registry
from kdrun.errors import ConfigError, DataError, Problem, did_you_mean
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.predictions import Predictions, read_predictions, read_teacher_answers
from kdrun.experiments.compare.significance import Array

if TYPE_CHECKING:
    from kdrun.config.task import TaskConfig
    from kdrun.experiments.compare.options import CompareOptions

AGREEMENT = "agreement"
"""The share of rows on which a student answers like the teacher."""


def check_metric(settings: CompareOptions, arms: Sequence[Arm]) -> None:
    """Check the metric before any run starts.

    Raises:
        ConfigError: the task lacks the metric, or the arms have no one teacher to agree with.
    """
    task, name = arms[0].config(1).task, settings.metric
    names = [*task.metrics, *([] if task.is_regression else [AGREEMENT])]
    if name is None or (name in names and name != AGREEMENT):
        return
    text, key = None, f"metric={name}"
    if name not in names:
        why = "" if name != AGREEMENT else "; its scores have no equal answers: result.json has teacher_pearson"
        text = f"{key}: task={task.name} is not scored by it{did_you_mean(name, names)} ({', '.join(names)}){why}"
    else:
        without = [arm.name for arm in arms if not registry.get("method", arm.method).target.requires.teacher]
        swept = [arm.swept for arm in arms if arm.swept.startswith("teacher")]
        if len(without) == len(arms):
            text = f"{key}: no method compared here has a teacher to agree with; add one that has, such as method=kd"
        elif without and swept:
            text = (
                f"{key}: {', '.join(without)} has no teacher, and the other arms have several ({', '.join(swept)}); "
                "set one teacher, or baselines=[]"
            )
    if text is not None:
        raise ConfigError([Problem("metric", name, text)])


def read_runs(
    arms: Sequence[Arm], task: TaskConfig, split: str, metric: str
) -> tuple[list[tuple[str, int]], Predictions] | None:
    """The predictions of all finished runs on the same rows; None without finished runs.

    Agreement is the accuracy of a run's answers with those of the teacher as the labels. A run without a teacher is
    compared with the teacher that the other runs share. The results of the runs get their agreement as a score of the
    student, 1 as the teacher's, and that of the most frequent answer as the majority baseline.

    Returns:
        Arm and seed of each run; gold answers of the rows, and as `predicted` those of all runs, [runs, rows, …].

    Raises:
        DataError: runs have different rows, or agreement has no teacher's answers to be computed from.
    """
    runs = [(arm, seed, folder) for arm in arms for seed, folder in arm.folders.items()]
    if not runs:
        return None
    row_metric = None if metric == AGREEMENT else metric
    parts = [read_predictions(folder, task, split, row_metric) for *_, folder in runs]
    first = parts[0]
    for (*_, folder), part in zip(runs, parts, strict=True):
        if not np.array_equal(first.gold, part.gold):
            raise DataError(
                f"{folder}/predictions.jsonl has different rows, or another order, than the predictions of the "
                "other runs"
            )
    keys = [(arm.name, seed) for arm, seed, _ in runs]
    if metric != AGREEMENT:
        return keys, replace(first, predicted=np.stack([part.predicted for part in parts]))
    answers = [read_teacher_answers(folder, task, split) for *_, folder in runs]
    shared = _shared_answers(runs, answers, split)
    is_equal, is_most_frequent = list[Array](), list[Array]()
    for part, answer in zip(parts, answers, strict=True):
        teacher = shared if answer is None else answer
        is_equal.append(_equal(part.answers, teacher))
        is_most_frequent.append(_equal(teacher, np.broadcast_to(_most_frequent(teacher), teacher.shape)))
    for (arm, seed, _), equal, constant in zip(runs, is_equal, is_most_frequent, strict=True):
        result = arm.results[seed]
        result["student"]["metrics"][split][AGREEMENT] = _score(equal, first.domains)
        result["guess"][split][AGREEMENT] = _score(constant, first.domains)
        if result["teacher"] is not None:
            result["teacher"]["metrics"][split][AGREEMENT] = 1.0
    gold = np.ones(len(first.gold), np.int64)
    return keys, replace(first, gold=gold, predicted=np.stack(is_equal))


def _shared_answers(runs: Sequence[tuple[Arm, int, object]], answers: Sequence[Array | None], split: str) -> Array:
    """The answers of the one teacher of all runs; of any teacher if every run has its own answers."""
    known = [answer for answer in answers if answer is not None]
    if not known:
        raise DataError(f"metric={AGREEMENT}: no run has answers of a teacher on {split} in its predictions.jsonl")
    without = [
        f"{arm.name}, seed {seed}" for (arm, seed, _), answer in zip(runs, answers, strict=True) if answer is None
    ]
    if without and any(not np.array_equal(known[0], answer) for answer in known):
        raise DataError(
            f"metric={AGREEMENT}: {'; '.join(without)} has no teacher, and the teachers of the other runs differ on "
            f"{split}, so there is no one teacher to agree with; leave out these arms (baselines=[])"
        )
    return known[0]


def _equal(answers: Array, others: Array) -> Array:
    """1 for each row with equal answers, [rows]; label sets are equal as a whole."""
    equal = answers == others
    return (equal.all(axis=-1) if equal.ndim == 2 else equal).astype(np.int64)


def _most_frequent(answers: Array) -> Array:
    values, counts = np.unique(answers, axis=0, return_counts=True)
    return values[counts.argmax()]


def _score(equal: Array, domains: Array | None) -> float:
    """The mean over rows; with domains, the unweighted mean over domains."""
    if domains is None:
        return float(equal.mean())
    return float(np.mean([equal[domains == name].mean() for name in np.unique(domains)]))
