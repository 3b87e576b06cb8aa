"""The entrypoint of a run: data → teacher → student → method → loop → evaluation → result."""

from __future__ import annotations

import errno
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from kdrun import (
    assembly,
    cache_room,
    check,
    checkpoint,
    domain_runs,
    memory,
    offline,
    registry,
    report,
    schooling,
    stopping,
    summary,
    task_rows,
    trackers,
)
from kdrun.assembly import Run
from kdrun.config import Config
from kdrun.data import domains
from kdrun.data.feed import Feed
from kdrun.errors import CheckpointError, DiskError, KdrunError
from kdrun.evaluation import Evaluator, prediction_rows
from kdrun.generated.write import leave
from kdrun.inspection import Check
from kdrun.loop import Loop, Outcome, Settings
from kdrun.method import Method
from kdrun.models import loading
from kdrun.phases import one_step_each
from kdrun.results import versions
from kdrun.run_folder import RECORD, RunFolder
from kdrun.run_observer import RunObserver
from kdrun.screen import Screen
from kdrun.trackers import Tracking

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@offline.heeded
def run(
    config: Config, screen: Screen | None = None, words: Sequence[str] = (), group: str | None = None
) -> dict[str, Any] | None:
    """Carry out one run, or what is left of one that was stopped, where `run_dir` is its folder.

    Args:
        config: checked by `kdrun.compose`.
        screen: where to print.
        words: the overrides it was composed from, so that the result can say how to repeat it.
        group: `run_id` of the run that it is a part of, if it is.

    Returns:
        The content of result.json; None for a dry run.

    Raises:
        KdrunError: whatever the user can mend.
        KeyboardInterrupt: after all was saved and the ledger has been told.
    """
    screen, command = screen or Screen(), shlex.join(["kdrun", *words])
    trackers.require(config.tracker)
    cache_room.limit()  # refused before anything is made
    if config.dry_run:
        return _load_and_carry_out(domain_runs.first_of(config), screen, command, None)
    folder = RunFolder(config, group)
    result = folder.result()
    if result is not None:
        screen.say(f"{folder.path} is of this run, which is finished: its result stands")
        return result
    with _told(folder, screen):
        folder.open(command)
        with _closed(folder):
            if domains.for_all(config.method):
                result = domain_runs.carry_out(config, screen, words, folder, folder.command, run)
            else:
                result = _load_and_carry_out(config, screen, folder.command, folder)
            folder.close("done", result)
        checkpoint.drop(folder.path / "checkpoints" / "last", newest=False)
        if config.report:
            screen.say(f"report: {report.write(folder.path)}")
    return result


@contextmanager
def _told(folder: RunFolder, screen: Screen) -> Iterator[None]:
    """Listen to whoever asks the run to stop, and say how to go on with a run that had to."""
    go_on = f"go on with: {shlex.join(['kdrun', f'resume={folder.path}'])}"
    try:
        with stopping.listening():
            yield
    except (KeyboardInterrupt, CheckpointError):
        screen.say(go_on)
        raise
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        if (folder.path / RECORD).exists():
            screen.say(go_on)
        raise DiskError(
            f"no room for what {folder.path} needs: {error}; make some, or another place (output_dir=…, run_dir=…, "
            "KDRUN_CACHE for the cache), then go on"
        ) from error


@contextmanager
def _closed(folder: RunFolder) -> Iterator[None]:
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


@offline.heeded
def try_out(config: Config, screen: Screen) -> list[Check]:
    """Build everything with a real teacher, take one step of each turn and evaluate a batch, for `kdrun check`.

    Returns:
        What was looked at; the last one failed where the run could not go on.

    Raises:
        KdrunError: there is nothing to try: the data cannot be read, the device is not there.
    """
    trackers.require(config.tracker)
    this = _load(replace(domain_runs.first_of(config), dry_run=True), screen, "", None)
    this.is_check = True
    try:
        _carry_out(this)
        return [*this.checks, *check.after(this)]
    except KdrunError as error:
        return [*this.checks, Check("the run starts", ok=False, found=str(error), remedy="see what was found")]
    finally:
        _let_go(this)


def _load_and_carry_out(
    config: Config, screen: Screen, command: str, folder: RunFolder | None
) -> dict[str, Any] | None:
    this = _load(config, screen, command, folder)
    try:
        return _carry_out(this)
    finally:
        _let_go(this)


def _load(config: Config, screen: Screen, command: str, folder: RunFolder | None) -> Run:
    started = time.perf_counter()
    needs = registry.get("method", config.method.name).target.needs
    accelerator = assembly.accelerator(config, folder.path if folder else None)
    data = task_rows.load(config)
    dev = {name: data.splits[name] for name in config.task.dev_splits}
    labels = {name: split.labels() for name, split in dev.items()}
    domains = {name: ids for name, split in dev.items() if (ids := split.domains()) is not None}
    evaluator = Evaluator(config.task, labels, accelerator, config.runtime.eval_batch_size, domains)
    if folder is not None:
        folder.bind({"data": data.fingerprint, "device": accelerator.device.type, **versions()})
    return Run(config, command, screen, accelerator, folder, needs, data, evaluator, started)


def _let_go(this: Run) -> None:
    """Free the models and the cache: jobs of a sweep share one process."""
    if this.tracking is not None:
        this.tracking.close()
    this.roles.clear()
    this.accelerator.free_memory()
    cache_room.let_go()
    memory.give_back()  # or a comparison's process doubles in size


def _carry_out(this: Run) -> dict[str, Any] | None:
    config, screen = this.config, this.screen
    assembly.build_roles(this)
    summary.introduce(this)
    if this.needs.teacher:
        schooling.teach(this)
    method = assembly.method(this)
    feed = assembly.feed(this, method)
    this.checks = check.before(this)
    if not this.is_check:
        check.require(this.checks)
    outcome = _distil(this, method, feed)
    if config.dry_run:
        if not this.is_check:
            screen.say("dry run: everything composes, builds, trains one step of each turn and evaluates")
        return None
    student = this.roles["student"]
    tables = this.dev_tokens("student")
    outputs = {split: this.evaluator.outputs(student, table) for split, table in tables.items()}
    scores = this.evaluator.score(outputs)
    summary.remark(this, "student", outputs)
    assert this.folder is not None
    loading.save(student.model, student.tokenizer, this.folder.path / "student")
    this.folder.predictions(
        row
        for split, values in outputs.items()
        for row in prediction_rows(
            config.task, split, this.data.splits[split].table.to_pydict(), values, this.teacher_outputs.get(split)
        )
    )
    this.generated = leave(this, method, feed)
    result = summary.result(this, scores, feed, outcome)
    summary.report(this, scores, result)
    return result


def _distil(this: Run, method: Method, feed: Feed) -> Outcome:
    config, student = this.config, this.roles["student"]
    tables = {name: table for name, table in this.dev_tokens("student").items() if name in config.task.watched_splits}
    limit = 1 if config.dry_run else None

    def evaluate() -> tuple[float | None, dict[str, Any]]:
        outputs = {s: this.evaluator.outputs(student, t, limit) for s, t in tables.items()}
        if config.dry_run:
            return None, {}
        scores = this.evaluator.score(outputs)
        return this.evaluator.headline(scores), scores

    phases = method.phases(config.optim)
    if config.dry_run:
        phases = [one_step_each(phase) for phase in phases]
    runtime = config.runtime
    settings = Settings(config.optim, config.seed, runtime.log_every, runtime.eval_every, this.select)
    if this.folder is not None:
        this.tracking = Tracking(config, this.accelerator, this.folder.run_id)
    observer = RunObserver(this, method, feed)
    keeper = assembly.keeper(this, "last", observer, student.model.config)
    try:
        return Loop(method, phases, feed, settings, this.accelerator, evaluate, observer, keeper).run()
    finally:
        observer.close()
