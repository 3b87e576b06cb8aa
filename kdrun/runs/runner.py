"""Run one experiment: data, teacher, method, training, evaluation, result."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdrun import progress, ranks, stage_times
from kdrun.config import domains
from kdrun.config.schema import RunConfig
from kdrun.console import Console, log_to
from kdrun.data.dataset import TaskDataset
from kdrun.data.extra_splits import ExtraSplit
from kdrun.data.loader import BatchLoader
from kdrun.errors import KdrunError
from kdrun.methods.base import Method
from kdrun.methods.phases import truncate_to_one_step
from kdrun.models import saving
from kdrun.runs import (
    agreement_rows,
    build,
    completion,
    cost_card,
    extra_evaluation,
    launch,
    machine_report,
    outcome,
    per_domain,
    setup,
    summary,
    teacher_stage,
)
from kdrun.runs.context import PreflightCheck, PreparedRun, RunContext, StudentResult, TeacherResult
from kdrun.runs.export.generated_text.write import export_generated_text
from kdrun.runs.observation import EvaluationObserver, observe_evaluations
from kdrun.runs.preflight import checks_after_first_step, checks_before_training, raise_if_failed
from kdrun.runs.result import build_result
from kdrun.runs.run_dir import RunDirectory
from kdrun.runs.run_logger import RunLogger
from kdrun.storage import cache_eviction, hub_offline, state_tensors
from kdrun.storage.run_result import RunResult, Scores
from kdrun.tasks.base import Outputs
from kdrun.tasks.evaluator import Evaluator, prediction_rows
from kdrun.training import metric_loggers
from kdrun.training.callbacks import TrainerCallback
from kdrun.training.metric_loggers import MetricLogger
from kdrun.training.trainer import Trainer, TrainerSettings

if TYPE_CHECKING:
    from torch import Tensor


def run(
    config: RunConfig,
    console: Console | None = None,
    overrides: Sequence[str] = (),
    group: str | None = None,
    observer: EvaluationObserver | None = None,
) -> RunResult | None:
    """Run an experiment, or resume a stopped one if `run_dir` is its folder.

    Args:
        config: validated config.
        console: where to print.
        overrides: overrides that the config was composed from, for the command in the result.
        group: `run_id` of the whole run if this run is a part of it.
        observer: receives the student's evaluations and may stop the run; a run over all domains, or of several
            processes, has none.

    Returns:
        The content of result.json; None for a dry run.

    Raises:
        KdrunError: a problem that the user can fix.
        KeyboardInterrupt: after everything was saved and the ledger was updated.
    """
    console = console or Console()
    with hub_offline.offline_mode(config.offline), log_to(console), progress.show_on(console):
        return _run(config, console, overrides, group, observer)


def _run(
    config: RunConfig,
    console: Console,
    overrides: Sequence[str],
    group: str | None,
    observer: EvaluationObserver | None,
) -> RunResult | None:
    metric_loggers.check_installed(config.tracker)
    cache_eviction.cache_limit()  # an invalid limit is refused before any work
    if config.dry_run:
        command = shlex.join(["kdrun", *overrides])
        with ranks.alone():
            return load_and_execute(per_domain.first_domain_config(config), console, command, None)
    run_dir = RunDirectory(config, group)
    result = run_dir.result()
    if result is not None:
        console.print(f"{run_dir.path} already holds the finished result of this run")
        if not completion.is_complete(run_dir.path, config.report):
            completion.complete(run_dir.path, config.report, console)
        return result
    with outcome.explain_interruption(run_dir, console):
        run_dir.open(shlex.join(["kdrun", *overrides]))
        with outcome.record_outcome(run_dir):
            if domains.is_per_domain(config.method):
                result = per_domain.run_domains(config, console, overrides, run_dir, run)
            else:
                result = _compute_in_processes(config, console, run_dir, observer)
            run_dir.close("done", result)
        completion.complete(run_dir.path, config.report, console)
    return result


def _compute_in_processes(
    config: RunConfig, console: Console, run_dir: RunDirectory, observer: EvaluationObserver | None
) -> RunResult | None:
    """Compute a run in this process, or without an observer in `runtime.devices` of them."""
    if config.runtime.devices > 1 and ranks.started_as()[1] == 1:
        return launch.run_processes(config, run_dir)
    return compute(config, console, run_dir, observer)


def compute(
    config: RunConfig, console: Console, run_dir: RunDirectory, observer: EvaluationObserver | None = None
) -> RunResult | None:
    """Compute a run in this process, together with the others if torchrun started several.

    Returns:
        The content of result.json.
    """
    if ranks.started_as()[1] == 1:
        return load_and_execute(config, console, run_dir.command, run_dir, observer)
    with launch.lead(launch.Job(config, str(run_dir.path), run_dir.command)):
        return load_and_execute(config, console, run_dir.command, run_dir)


def preflight(config: RunConfig, console: Console) -> list[PreflightCheck]:
    """Build everything with a real teacher, train one step per turn and evaluate one batch, for `kdrun check`.

    Returns:
        All checks; the last one failed if the run could not continue.

    Raises:
        KdrunError: the data cannot be read or the device is missing, so nothing can be checked.
    """
    config = replace(per_domain.first_domain_config(config), dry_run=True)
    with hub_offline.offline_mode(config.offline), log_to(console), progress.show_on(console):
        metric_loggers.check_installed(config.tracker)
        context = setup.start_run(config, console, "", None, is_check=True)
        with setup.execution():
            return _check_run(context, *setup.load_data(context))


def _check_run(context: RunContext, data: TaskDataset, evaluator: Evaluator) -> list[PreflightCheck]:
    """All checks of a run; a problem that stops the run is the last check."""
    checks: list[PreflightCheck] = []
    try:
        run = build.build_run(context, data, evaluator)
        summary.print_header(run)
        machine_report.print_machine_and_times(run)
        run, teacher = _prepare_teacher(run)
        method = build.make_method(run, teacher)
        loader = build.make_loader(run, method, teacher)
        checks += checks_before_training(run, teacher)
        return [*checks, *checks_after_first_step(run, train_student(run, method, loader).first_steps)]
    except KdrunError as error:
        return [*checks, PreflightCheck("the run starts", ok=False, value=str(error), remedy="fix the problem found")]


def load_and_execute(
    config: RunConfig,
    console: Console,
    command: str,
    run_dir: RunDirectory | None,
    observer: EvaluationObserver | None = None,
) -> RunResult | None:
    """Compute a run, and free its memory.

    Returns:
        The content of result.json; None for a dry run, and in every process except the first.
    """
    with setup.execution():
        return _execute(replace(prepare(config, console, command, run_dir), observer=observer))


def prepare(config: RunConfig, console: Console, command: str = "", run_dir: RunDirectory | None = None) -> PreparedRun:
    """Load a run's data and build its evaluator and models; the teacher is not fine-tuned yet."""
    context = setup.start_run(config, console, command, run_dir)
    return build.build_run(context, *setup.load_data(context))


def _prepare_teacher(run: PreparedRun) -> tuple[PreparedRun, TeacherResult | None]:
    """The run with its final teacher, and the teacher's result; None without a teacher."""
    if not run.requires.teacher:
        return run, None
    teacher = teacher_stage.prepare_teacher(run)
    return (run if teacher.bundle is None else run.with_teacher(teacher.bundle)), teacher


def _execute(run: PreparedRun) -> RunResult | None:
    """Train, evaluate and export; the result, or None for a dry run."""
    summary.print_header(run)
    extras = extra_evaluation.read_extra_splits(run)
    run, teacher = _prepare_teacher(run)
    method = build.make_method(run, teacher)
    with stage_times.stage(stage_times.SCORING):
        loader = build.make_loader(run, method, teacher)
    raise_if_failed(checks_before_training(run, teacher))
    student = train_student(run, method, loader)
    if run.config.dry_run:
        run.console.print("dry run: everything composes, builds, trains one step per turn and evaluates")
        return None
    tables, bundle = run.dev_tokens("student"), run.roles["student"]
    with stage_times.stage(stage_times.EVALUATIONS):
        outputs = {split: run.evaluator.outputs(bundle, table) for split, table in tables.items()}
        extra_scores = extra_evaluation.score_extra_splits(run, "student", extras)
    teacher = teacher_stage.score_held_out(run, teacher, outputs)
    teacher = agreement_rows.measure(run, extra_evaluation.with_extra_scores(run, teacher, extras))
    weights = state_tensors.complete_tensors(bundle.model)
    scores = run.evaluator.score(outputs) | extra_scores
    summary.print_notes(run, "student", outputs)
    if ranks.is_first():
        with stage_times.stage(stage_times.FILES):
            _write_student(run, weights, teacher, outputs)
    return _finish(run, method, loader, teacher, student, extras, scores)


def _finish(
    run: PreparedRun,
    method: Method,
    loader: BatchLoader,
    teacher: TeacherResult | None,
    student: StudentResult,
    extras: Sequence[ExtraSplit],
    scores: Scores,
) -> RunResult | None:
    """Export generated text and the result; the first process of several writes the files."""
    generated = export_generated_text(run, method, loader, teacher)
    if not ranks.is_first():
        return None
    with ranks.alone():
        result = build_result(run, teacher, scores, loader, student.training, generated)
        extra_evaluation.add_to_result(run, result, extras)
        if run.config.cost_card:
            result["cost"] = cost_card.measure_run(run, teacher)
        summary.print_summary(run, result, student.samples)
    return result


def _write_student(
    run: PreparedRun, weights: Mapping[str, Tensor], teacher: TeacherResult | None, outputs: Mapping[str, Outputs]
) -> None:
    """Write the student and its predictions, with the teacher's."""
    assert run.run_dir is not None
    student = run.roles["student"]
    saving.save_pretrained(student.model, student.tokenizer, run.run_dir.path / "student", weights)
    teacher_outputs = teacher.outputs if teacher else {}
    run.run_dir.predictions(
        row
        for split, values in outputs.items()
        for row in prediction_rows(
            run.config.task, split, run.data.splits[split].table.to_pydict(), values, teacher_outputs.get(split)
        )
    )


def train_student(run: PreparedRun, method: Method, loader: BatchLoader) -> StudentResult:
    """Train the student with a method; a dry run takes one step per turn."""
    config, student = run.config, run.roles["student"]
    splits = config.task.eval_splits_during_training
    tables = {name: table for name, table in run.dev_tokens("student").items() if name in splits}
    limit = 1 if config.dry_run else None

    @stage_times.stage(stage_times.EVALUATIONS)
    def evaluate() -> tuple[float | None, dict[str, Any]]:
        outputs = {s: run.evaluator.outputs(student, t, limit) for s, t in tables.items()}
        if config.dry_run:
            return None, {}
        scores = run.evaluator.score(outputs)
        return run.evaluator.headline(scores), scores

    phases = method.phases(method.config, config.optim)
    if config.dry_run:
        phases = [truncate_to_one_step(phase) for phase in phases]
    runtime = config.runtime
    settings = TrainerSettings(config.optim, config.seed, runtime.log_every, runtime.eval_every, run.select)
    tracker = MetricLogger(config, run.accelerator, run.run_dir.run_id) if run.run_dir and ranks.is_first() else None
    observe = observe_evaluations(run.observer, run.evaluator.headline, phases, loader.num_rows)
    logger = RunLogger(run, method, loader, tracker, observe) if ranks.is_first() else None
    callback = logger or TrainerCallback()
    checkpoints = build.make_checkpoint_manager(run, "last", logger, student.model.config, save_final=True)
    try:
        with stage_times.stage(stage_times.STEPS):
            training = Trainer(method, phases, loader, settings, run.accelerator, evaluate, callback, checkpoints).run()
    finally:
        if tracker is not None:
            tracker.close()
    return StudentResult(training, logger.samples if logger else [], logger.first_steps if logger else [])
