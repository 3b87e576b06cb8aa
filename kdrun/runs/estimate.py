"""Estimate the time of a run's phases from a few steps."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kdrun import registry, stage_times
from kdrun.config.optim import OptimConfig
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.teacher import DomainStrategy
from kdrun.data.batch import Batch, BatchSource
from kdrun.data.loader import BatchLoader
from kdrun.data.samplers import bucketed_batches, longest_first_batches
from kdrun.data.tokenization import TokenizedSplit
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.phases import Phase, num_steps, steps_by_role, steps_per_epoch, truncate_to_one_step
from kdrun.models.bundle import ModelBundle
from kdrun.runs import build, teacher_stage
from kdrun.runs.context import PreparedRun
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.context import TrainerSettings
from kdrun.training.phase_runner import MAX_EVALUATIONS
from kdrun.training.teacher import finetune, logits
from kdrun.training.trainer import Trainer

Clock = Callable[[], float]
QUANTILES = (0.5, 0.12, 0.37, 0.63, 0.88)
"""Batches to measure, by the rank of their size; the first one prepares kernels and does not count."""
SMALL, AFFORDABLE = 32, 0.4
"""Rows of a pass whose time decides whether whole batches are affordable, and the seconds that one may take."""


@dataclass(frozen=True)
class PhaseTime:
    """Estimated time of a phase of a run.

    Attributes:
        name: of the phase.
        seconds: its time; 0 if the cache has its result.
        detail: number and time of its parts.
    """

    name: str
    seconds: float
    detail: str


def estimate_phases(run: PreparedRun, clock: Clock = time.perf_counter) -> list[PhaseTime]:
    """The time of each phase, from passes and steps of typical size; weights stay as they are.

    Args:
        run: before its teacher is prepared.
        clock: seconds; a clock of processor time leaves out what other programs take.
    """
    phases: list[PhaseTime] = []
    if run.requires.teacher and run.recorded is None:
        phases += _teacher_phases(run, clock)
    return [*phases, *_student_phases(run, clock)]


def _teacher_phases(run: PreparedRun, clock: Clock) -> Iterator[PhaseTime]:
    """Fine-tuning, scores on the dev rows, and logits on the student's rows."""
    config, teacher = run.config, run.roles["teacher"]
    evaluation = build.teacher_evaluation(run)
    dev = sum(_pass_seconds(run, teacher, table, clock) for table in evaluation.dev_during_training.values())
    is_trained = finetune.needs_finetuning(config.teacher, teacher)
    if is_trained:
        yield _fine_tuning(run, evaluation, dev, clock)
    tables = evaluation.dev_during_training.values()
    if not is_trained and all(logits.is_cached(teacher, table, evaluation) for table in tables):
        yield PhaseTime(stage_times.TEACHER, 0.0, "in the cache")
    else:
        yield PhaseTime(stage_times.TEACHER, dev, "one pass over the dev rows")
    if not run.requires.teacher_logits or run.evaluator.task_type.generates_text:
        return
    tokens = run.tokens("teacher")["train"]
    if not is_trained and logits.is_cached(teacher, tokens, evaluation):
        yield PhaseTime(stage_times.SCORING, 0.0, "in the cache")
        return
    note = ", less if the cache has them" if is_trained else ""
    detail = f"the teacher's logits on {tokens.num_rows} rows{note}"
    yield PhaseTime(stage_times.SCORING, _pass_seconds(run, teacher, tokens, clock), detail)


def _fine_tuning(run: PreparedRun, evaluation: finetune.TeacherEvaluation, dev: float, clock: Clock) -> PhaseTime:
    """The teacher's training; a domain strategy counts as plain training on its rows.

    Args:
        run: the run.
        evaluation: of the teacher.
        dev: seconds of one pass over the dev rows.
        clock: seconds.
    """
    config, bundle = run.config, run.roles["teacher"]
    strategy = resolve_domain_strategy(config, run.requires)
    rows = teacher_stage.teacher_rows(run, strategy)
    training_set, _ = teacher_stage.teacher_training_set(run, rows, None)
    is_plain = strategy in (None, DomainStrategy.single, DomainStrategy.mixed)
    if is_plain and finetune.is_cached(bundle, evaluation, training_set):
        return PhaseTime(stage_times.TRAINING, 0.0, "in the cache")
    optim, model = config.teacher.finetune_optim, copy.deepcopy(bundle.model)
    entry = registry.get("method", "finetune")
    assert entry.config is not None
    hard_loss = run.evaluator.task_type.hard_loss
    device = run.accelerator.device
    method = entry.target(
        entry.config(), MethodContext({"student": model}, config.task, None, hard_loss, config.teacher.seed, device)
    )
    loader = BatchLoader({"student": training_set.tokens}, training_set.labels, device, targets=training_set.targets)
    phases = method.phases(method.config, optim)
    seconds, details = _training_seconds(run, method, phases, loader, optim, clock)
    passes = _evaluations(phases, loader.num_rows, run.config.runtime.eval_every)
    details.append(f"{passes} evaluations of {dev:.2g} s")
    return PhaseTime(stage_times.TRAINING, seconds + passes * dev, f"{', '.join(details)}, less if the cache has it")


def _student_phases(run: PreparedRun, clock: Clock) -> Iterator[PhaseTime]:
    """Steps of all roles on copies of the models that train, and the student's evaluations."""
    config = run.config
    roles = {
        role: replace(bundle, model=copy.deepcopy(bundle.model)) if role != "teacher" else bundle
        for role, bundle in run.roles.items()
    }
    # a dry run uses the teacher as it is, and scores only a few rows
    predictor = replace(run.evaluator.predictor, batch_size=config.optim.batch_size)
    trial = replace(
        run, is_check=False, roles=roles, config=replace(config, dry_run=True),
        evaluator=replace(run.evaluator, predictor=predictor),
    )  # fmt: skip
    has_model = run.requires.teacher and run.recorded is None
    teacher = teacher_stage.prepare_teacher(trial) if has_model else None
    method = build.make_method(trial, teacher)
    loader = build.make_loader(trial, method, teacher)
    phases = method.phases(method.config, config.optim)
    seconds, details = _training_seconds(run, method, phases, loader, config.optim, clock)
    yield PhaseTime(stage_times.STEPS, seconds, ", ".join(details))
    tables, student = run.dev_tokens("student"), run.roles["student"]
    one_pass = {split: _pass_seconds(run, student, table, clock) for split, table in tables.items()}
    during = sum(one_pass[split] for split in config.task.eval_splits_during_training)
    count = _evaluations(phases, loader.num_rows, config.runtime.eval_every)
    detail = f"{count} of {during:.2g} s, and one over all dev rows at the end"
    yield PhaseTime(stage_times.EVALUATIONS, count * during + sum(one_pass.values()), detail)


def _evaluations(phases: Sequence[Phase], rows: int, eval_every: int | None) -> int:
    """Number of evaluations during a training, as the trainer places them."""
    count = 0
    for phase in phases:
        planned = num_steps(phase, rows)
        every = eval_every or max(steps_per_epoch(phase, rows), math.ceil(planned / MAX_EVALUATIONS))
        count += math.ceil(planned / every) * phase.evaluated
    return count


def _pass_seconds(run: PreparedRun, bundle: ModelBundle, tokens: TokenizedSplit, clock: Clock) -> float:
    """Time of one pass of a model over all rows, from batches of typical lengths."""
    batches = longest_first_batches(tokens.lengths, run.evaluator.predictor.batch_size)
    chosen = _typical(batches, tokens.lengths)

    def seconds(rows: np.ndarray) -> float:
        part = tokens.select(rows)
        start = clock()
        run.evaluator.outputs(bundle, part)
        return clock() - start

    seconds(chosen[0][:SMALL])
    is_affordable = seconds(chosen[0][:SMALL]) * len(chosen[0]) / len(chosen[0][:SMALL]) < AFFORDABLE
    measured = [rows if is_affordable else rows[:SMALL] for rows in chosen[1:]]
    points = [(_num_tokens(rows, tokens.lengths), seconds(rows)) for rows in measured]
    mean = sum(_num_tokens(rows, tokens.lengths) for rows in batches) / len(batches)
    return len(batches) * seconds_at(mean, points, is_proportional=not is_affordable)


def seconds_at(num_tokens: float, points: Sequence[tuple[float, float]], *, is_proportional: bool = False) -> float:
    """Time of a batch by a line through measured ones: a constant part and a part in proportion to the tokens.

    Args:
        num_tokens: tokens of the batch, padding included; the mean of all batches gives their mean time.
        points: (tokens, seconds) of the measured batches.
        is_proportional: leave out the constant part, for measured batches that are much smaller.
    """
    x, y = np.array(points, np.float64).T
    proportional = float(x @ y / (x @ x)) * num_tokens
    if is_proportional or np.ptp(x) == 0:
        return proportional
    slope, constant = np.polyfit(x, y, 1)
    if slope < 0:  # noise: longer batches took less time
        return float(y.mean())
    return proportional if constant < 0 else float(constant + slope * num_tokens)


def _training_seconds(
    run: PreparedRun, method: Method, phases: Sequence[Phase], loader: BatchLoader, optim: OptimConfig, clock: Clock
) -> tuple[float, list[str]]:
    """Time of all steps, and the parts that it consists of, from a few steps of every role in every phase."""
    stopwatch = _StepTimes(clock)
    accumulate = phases[0].gradient_accumulation_steps
    steps = len(QUANTILES)
    short = [
        replace(phase, steps=steps * (one.steps or 1)) for phase in phases for one in [truncate_to_one_step(phase)]
    ]
    short = [replace(part, turns=truncate_to_one_step(part).turns) for part in short]
    settings = TrainerSettings(optim, run.config.seed, 1, None, run.select)
    source = _TypicalBatches(loader, accumulate)
    Trainer(method, short, source, settings, run.accelerator, lambda: (None, {}), stopwatch).run()
    total, details = 0.0, []
    for phase in phases:
        mean, measured = source.num_tokens(phase, run.config.seed)
        for role, count in steps_by_role(phase, num_steps(phase, loader.num_rows)).items():
            times = stopwatch.seconds(phase.name, role)
            # the first step prepares kernels, in the run too
            step = seconds_at(mean, list(zip(measured[1:], times[1:], strict=False))) if times[1:] else 0.0
            total += count * step + max(0.0, times[0] - step if times else 0.0)
            details.append(f"{count} {role} steps of {step:.2g} s")
    return total, details


def _typical(batches: Sequence[np.ndarray], lengths: np.ndarray) -> list[np.ndarray]:
    """Batches at `QUANTILES` of the number of tokens with padding."""
    ranked = sorted(batches, key=lambda rows: (_num_tokens(rows, lengths), len(rows)))
    return [ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in QUANTILES]


def _num_tokens(rows: np.ndarray, lengths: np.ndarray) -> int:
    """Tokens of a batch, padding included."""
    return len(rows) * int(lengths[rows].max())


class _TypicalBatches(BatchSource):
    """Batches of typical sizes from the rows of a loader, each as often as a step accumulates micro-batches.

    Args:
        loader: of the training rows.
        accumulate: micro-batches of a step.
    """

    def __init__(self, loader: BatchLoader, accumulate: int) -> None:
        self.num_rows, self._loader, self._accumulate = loader.num_rows, loader, accumulate
        self._lengths = (loader.tokens.get("student") or next(iter(loader.tokens.values()))).lengths

    @property
    def rows_seen(self) -> np.ndarray:
        """Rows that have been part of a batch."""
        return self._loader.rows_seen

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        """The same batches in every epoch."""
        batches = bucketed_batches(self._lengths, batch_size, seed, 0, phase)
        return [rows for rows in _typical(batches, self._lengths) for _ in range(self._accumulate)]

    def num_tokens(self, phase: Phase, seed: int) -> tuple[float, list[int]]:
        """Tokens per step, padding included: the mean of all steps of an epoch, and those of the measured steps."""
        batches = bucketed_batches(self._lengths, phase.batch_size, seed, 0, phase.name)
        sizes = [_num_tokens(rows, self._lengths) * self._accumulate for rows in batches]
        measured = [_num_tokens(rows, self._lengths) * self._accumulate for rows in _typical(batches, self._lengths)]
        return sum(sizes) / len(sizes), measured

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        """The rows on the device."""
        return self._loader.load_batch(rows, phase, step)

    def load_state(self, rows_seen: np.ndarray) -> None:
        """Set which rows have been part of a batch."""
        self._loader.load_state(rows_seen)


class _StepTimes(TrainerCallback):
    """Time between the log records of a training that logs every step."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._last = clock, clock()
        self._seconds: dict[tuple[str, str], list[float]] = {}

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Count the time since the last record as a step of the record's role."""
        now = self._clock()
        self._seconds.setdefault((record["phase"], record["role"]), []).append(now - self._last)
        self._last = now

    def seconds(self, phase: str, role: str) -> list[float]:
        """Time of each step of a role in a phase."""
        return self._seconds.get((phase, role), [])
