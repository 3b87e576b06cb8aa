"""Metric of a comparison: one of the task, or agreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kdrun import registry
from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.errors import ConfigError, DataError, Problem, did_you_mean
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.predictions import Predictions, read_predictions, read_teacher_answers
from kdrun.experiments.compare.significance import Array
from kdrun.tasks.agreement import AGREEMENT, TEACHER_KL, divergence_by_row
from kdrun.tasks.base import softmax

if TYPE_CHECKING:
    from kdrun.config.schema import RunConfig
    from kdrun.config.task import TaskConfig
    from kdrun.data.dataset import TaskDataset
    from kdrun.experiments.compare.options import CompareOptions

Measure = Callable[[Array, Array], Array]
"""Answers or logits of student and teacher to a number per row."""
OF_TEACHER = (AGREEMENT, TEACHER_KL)
"""Metrics that hold a student against its teacher: the share of rows with its answer, and the mean divergence."""


def check_metric(settings: CompareOptions, arms: Sequence[Arm]) -> None:
    """Check the metric before any run starts.

    Raises:
        ConfigError: the task lacks the metric, or the arms have no one teacher to agree with.
    """
    task, name = arms[0].config(1).task, settings.metric
    of_teacher = [] if task.is_regression else [AGREEMENT] if task.is_text else list(OF_TEACHER)
    names = [*task.metrics, *of_teacher]
    if name is None or (name in names and name not in OF_TEACHER):
        return
    text, key = None, f"metric={name}"
    if name not in names:
        why = ""
        if name in OF_TEACHER:
            why = "; its scores have no equal answers: result.json has teacher_pearson"
            why = "; answers that are text have no distribution over classes" if task.is_text else why
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


@dataclass(frozen=True)
class JudgedRows:
    """The rows by which a comparison judges.

    Attributes:
        split: their name.
        rows: their number.
        text: their description for people; None where the name says it.
    """

    split: str
    rows: int
    text: str | None


def judged_split(config: RunConfig, metric: str) -> str:
    """Name of the rows by which a comparison judges: `agreement_rows` for a metric of the teacher if there are any."""
    is_of_agreement_rows = metric in OF_TEACHER and config.evaluation.agreement_rows is not None
    return AGREEMENT_ROWS if is_of_agreement_rows else config.task.report_split


def judged_rows(config: RunConfig, metric: str, data: TaskDataset) -> JudgedRows:
    """The rows by which a comparison judges; those of `evaluation.agreement_rows` replace the labeled ones."""
    split = judged_split(config, metric)
    text = data.agreement_text if split == AGREEMENT_ROWS else data.reported_rows
    return JudgedRows(split, data.row_counts[split], text)


def read_runs(
    arms: Sequence[Arm], task: TaskConfig, split: str, metric: str
) -> tuple[list[tuple[str, int]], Predictions] | None:
    """The predictions of all finished runs on the same rows; None without finished runs.

    A metric of the teacher is a number per row: 1 for an answer equal to the teacher's, or the divergence from the
    teacher. A run without a teacher is compared with the teacher that the other runs share. The results of the runs get
    it as a score of the student, with the score of the teacher itself, and that of the best constant answer as the
    majority baseline.

    Returns:
        Arm and seed of each run; gold answers of the rows, and as `predicted` those of all runs, [runs, rows, …].

    Raises:
        DataError: runs have different rows, or there are no teacher's answers.
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
                f"the predictions of {folder} on {split} are of different rows, or in another order, than those of the "
                "other runs"
            )
    keys = [(arm.name, seed) for arm, seed, _ in runs]
    if metric not in OF_TEACHER:
        return keys, replace(first, predicted=np.stack([part.predicted for part in parts]))
    answers = [read_teacher_answers(folder, task, split, row_metric) for *_, folder in runs]
    shared = _shared_answers(runs, answers, split, metric)
    measure = _equal if metric == AGREEMENT else _divergence(task)
    by_run = list[Array]()
    for (arm, seed, _), part, answer in zip(runs, parts, answers, strict=True):
        teacher = shared if answer is None else answer
        by_run.append(measure(part.predicted, teacher))
        constant = _most_frequent(teacher) if metric == AGREEMENT else _mean_logits(teacher, task)
        baseline = measure(np.broadcast_to(constant, teacher.shape), teacher)
        result = arm.results[seed]
        result["student"]["metrics"].setdefault(split, {})[metric] = _score(by_run[-1], first.domains)
        result["guess"].setdefault(split, {})[metric] = _score(baseline, first.domains)
        if result["teacher"] is not None:
            of_itself = 1.0 if metric == AGREEMENT else 0.0
            result["teacher"]["metrics"].setdefault(split, {})[metric] = of_itself
    gold = np.ones(len(first.gold), np.int64)
    return keys, replace(first, gold=gold, predicted=np.stack(by_run))


def _shared_answers(
    runs: Sequence[tuple[Arm, int, object]], answers: Sequence[Array | None], split: str, metric: str
) -> Array:
    """The answers of the one teacher of all runs; of any teacher if every run has its own answers."""
    known = [answer for answer in answers if answer is not None]
    if not known:
        raise DataError(f"metric={metric}: no run has answers of a teacher on {split} in its folder")
    without = [
        f"{arm.name}, seed {seed}" for (arm, seed, _), answer in zip(runs, answers, strict=True) if answer is None
    ]
    if without and any(not np.array_equal(known[0], answer) for answer in known):
        raise DataError(
            f"metric={metric}: {'; '.join(without)} has no teacher, and the teachers of the other runs differ on "
            f"{split}, so there is no one teacher to agree with; leave out these arms (baselines=[])"
        )
    return known[0]


def _equal(answers: Array, others: Array) -> Array:
    """1 for each row with equal answers, [rows]; label sets are equal as a whole."""
    equal = answers == others
    return (equal.all(axis=-1) if equal.ndim == 2 else equal).astype(np.int64)


def _divergence(task: TaskConfig) -> Measure:
    def measure(student: Array, teacher: Array) -> Array:
        return divergence_by_row(student, teacher, is_multi_label=task.is_multi_label)

    return measure


def _most_frequent(answers: Array) -> Array:
    values, counts = np.unique(answers, axis=0, return_counts=True)
    return values[counts.argmax()]


def _mean_logits(logits: Array, task: TaskConfig) -> Array:
    """Logits of the mean distribution, which of all constant ones has the smallest mean divergence, [classes]."""
    if task.is_multi_label:
        mean = (1 / (1 + np.exp(-logits))).mean(axis=0)
        return np.log(mean) - np.log1p(-mean)
    return np.log(softmax(logits).mean(axis=0))


def _score(by_row: Array, domains: Array | None) -> float:
    """The mean over rows; with domains, the unweighted mean over domains."""
    if domains is None:
        return float(by_row.mean())
    return float(np.mean([by_row[domains == name].mean() for name in np.unique(domains)]))
