"""Run one experiment: data, teacher, method, training, evaluation, result."""

from __future__ import annotations

import errno
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from kdrun import registry, signals
from kdrun.config import domains
from kdrun.config.schema import RunConfig
from kdrun.console import Console, log_to
from kdrun.data import run_data
from kdrun.data.loader import BatchLoader
from kdrun.errors import CheckpointError, DiskError, KdrunError
from kdrun.methods.base import Method
from kdrun.methods.phases import truncate_to_one_step
from kdrun.models import saving
from kdrun.reporting.html import report
from kdrun.runs import build, per_domain, summary, teacher_stage
from kdrun.runs.context import PreflightCheck, RunContext
from kdrun.runs.export.generated_text.write import export_generated_text
from kdrun.runs.preflight import checks_after_first_step, checks_before_training, raise_if_failed
from kdrun.runs.provenance import versions
from kdrun.runs.result import build_result
from kdrun.runs.run_dir import RunDirectory
from kdrun.runs.run_logger import RunLogger
from kdrun.runs.run_record import RECORD
from kdrun.storage import cache_eviction, checkpoint_files, hub_offline
from kdrun.storage.run_result import RunResult
from kdrun.tasks.evaluator import Evaluator, prediction_rows
from kdrun.tasks.predictor import Predictor
from kdrun.training import memory, metric_loggers
from kdrun.training.accelerator import make_accelerator
from kdrun.training.metric_loggers import MetricLogger
from kdrun.training.trainer import Trainer, TrainerSettings, TrainResult

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(
    config: RunConfig, console: Console | None = None, words: Sequence[str] = (), group: str | None = None
) -> RunResult | None:
    """Carry out one run, or what is left of one that was stopped, where `run_dir` is its folder.

    Args:
        config: checked by `kdrun.config.compose`.
        console: where to print.
        words: the overrides it was composed from, so that the result can say how to repeat it.
        group: `run_id` of the run that it is a part of, if it is.

    Returns:
        The content of result.json; None for a dry run.

    Raises:
        KdrunError: whatever the user can mend.
        KeyboardInterrupt: after all was saved and the ledger has been told.
    """
    console = console or Console()
    with hub_offline.offline_mode(config.offline), log_to(console):
        return _run(config, console, words, group)


def _run(config: RunConfig, console: Console, words: Sequence[str], group: str | None) -> RunResult | None:
    command = shlex.join(["kdrun", *words])
    metric_loggers.check_installed(config.tracker)
    cache_eviction.cache_limit()  # refused before anything is made
    if config.dry_run:
        return _load_and_carry_out(per_domain.first_domain_config(config), console, command, None)
    folder = RunDirectory(config, group)
    result = folder.result()
    if result is not None:
        console.print(f"{folder.path} is of this run, which is finished: its result stands")
        return result
    with _explain_interruption(folder, console):
        folder.open(command)
        with _record_outcome(folder):
            if domains.is_per_domain(config.method):
                result = per_domain.run_domains(config, console, words, folder, folder.command, run)
            else:
                result = _load_and_carry_out(config, console, folder.command, folder)
            folder.close("done", result)
        checkpoint_files.delete_checkpoints(folder.path / "checkpoints" / "last", newest=False)
        if config.report:
            console.print(f"report: {report.write_run_report(folder.path)}")
    return result


@contextmanager
def _explain_interruption(folder: RunDirectory, console: Console) -> Iterator[None]:
    """Listen to whoever asks the run to stop, and say how to go on with a run that had to."""
    go_on = f"go on with: {shlex.join(['kdrun', f'resume={folder.path}'])}"
    try:
        with signals.handle_signals():
            yield
    except (KeyboardInterrupt, CheckpointError):
        console.print(go_on)
        raise
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        if (folder.path / RECORD).exists():
            console.print(go_on)
        raise DiskError(
            f"no room for what {folder.path} needs: {error}; make some, or another place (output_dir=…, run_dir=…, "
            "KDRUN_CACHE for the cache), then go on"
        ) from error


@contextmanager
def _record_outcome(folder: RunDirectory) -> Iterator[None]:
    """Tell the ledger how a run ended that did not come to its end, and let others into the folder."""
    try:
        yield
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # a full disk has no room for this line either: the ledger then shows a crash
            folder.close("interrupted", error=str(stop) or "stopped from the keyboard")
        raise
    except BaseException as error:
        with suppress(OSError):
            folder.close("failed", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        folder.release()


def preflight(config: RunConfig, console: Console) -> list[PreflightCheck]:
    """Build everything with a real teacher, take one step of each turn and evaluate a batch, for `kdrun check`.

    Returns:
        What was looked at; the last one failed where the run could not go on.

    Raises:
        KdrunError: there is nothing to try: the data cannot be read, the device is not there.
    """
    with hub_offline.offline_mode(config.offline), log_to(console):
        return _try_out(config, console)


def _try_out(config: RunConfig, console: Console) -> list[PreflightCheck]:
    metric_loggers.check_installed(config.tracker)
    run = prepare(replace(per_domain.first_domain_config(config), dry_run=True), console, "", None)
    run.is_check = True
    try:
        _execute(run)
        return [*run.checks, *checks_after_first_step(run)]
    except KdrunError as error:
        return [*run.checks, PreflightCheck("the run starts", ok=False, found=str(error), remedy="see what was found")]
    finally:
        _release(run)


def _load_and_carry_out(
    config: RunConfig, console: Console, command: str, folder: RunDirectory | None
) -> RunResult | None:
    run = prepare(config, console, command, folder)
    try:
        return _execute(run)
    finally:
        _release(run)


def prepare(config: RunConfig, console: Console, command: str, folder: RunDirectory | None) -> RunContext:
    """Load the data, create the accelerator and the evaluator of a run."""
    started = time.perf_counter()
    needs = registry.get("method", config.method.name).target.requires
    accelerator = make_accelerator(config, folder.path if folder else None)
    data = run_data.load_run_data(config)
    dev = {name: data.splits[name] for name in config.task.dev_splits}
    evaluator = Evaluator.for_splits(config.task, dev, Predictor(accelerator, config.runtime.eval_batch_size))
    if folder is not None:
        folder.record_environment({"data": data.fingerprint, "device": accelerator.device.type, **versions()})
    return RunContext(config, command, console, accelerator, folder, needs, data, evaluator, started)


def _release(run: RunContext) -> None:
    """Free the models and the cache: jobs of a sweep share one process."""
    if run.tracking is not None:
        run.tracking.close()
    run.roles.clear()
    run.accelerator.free_memory()
    cache_eviction.release_all()
    memory.release_memory()  # or a comparison's process doubles in size


def _execute(run: RunContext) -> RunResult | None:
    config, console = run.config, run.console
    build.build_roles(run)
    summary.print_header(run)
    if run.requires.teacher:
        teacher_stage.prepare_teacher(run)
    method = build.make_method(run)
    feed = build.make_loader(run, method)
    run.checks = checks_before_training(run)
    if not run.is_check:
        raise_if_failed(run.checks)
    outcome = _train_student(run, method, feed)
    if config.dry_run:
        if not run.is_check:
            console.print("dry run: everything composes, builds, trains one step of each turn and evaluates")
        return None
    student = run.roles["student"]
    tables = run.dev_tokens("student")
    outputs = {split: run.evaluator.outputs(student, table) for split, table in tables.items()}
    scores = run.evaluator.score(outputs)
    summary.print_notes(run, "student", outputs)
    assert run.run_dir is not None
    saving.save_pretrained(student.model, student.tokenizer, run.run_dir.path / "student")
    run.run_dir.predictions(
        row
        for split, values in outputs.items()
        for row in prediction_rows(
            config.task, split, run.data.splits[split].table.to_pydict(), values, run.teacher_outputs.get(split)
        )
    )
    run.generated = export_generated_text(run, method, feed)
    result = build_result(run, scores, feed, outcome)
    summary.print_summary(run, scores, result)
    return result


def _train_student(run: RunContext, method: Method, feed: BatchLoader) -> TrainResult:
    config, student = run.config, run.roles["student"]
    tables = {
        name: table
        for name, table in run.dev_tokens("student").items()
        if name in config.task.eval_splits_during_training
    }
    limit = 1 if config.dry_run else None

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
    if run.run_dir is not None:
        run.tracking = MetricLogger(config, run.accelerator, run.run_dir.run_id)
    observer = RunLogger(run, method, feed)
    keeper = build.make_checkpoint_manager(run, "last", observer, student.model.config, save_final=True)
    try:
        return Trainer(method, phases, feed, settings, run.accelerator, evaluate, observer, keeper).run()
    finally:
        observer.close()
