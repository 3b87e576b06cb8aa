"""The entrypoint of a run: data → teacher → student → method → loop → evaluation → result."""

from __future__ import annotations

import gc
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kdrun import assembly, check, checkpoint, domain_runs, registry, report, samples, schooling, summary, trackers
from kdrun.assembly import Run
from kdrun.config import Config
from kdrun.data import domains
from kdrun.data.feed import Feed
from kdrun.errors import KdrunError
from kdrun.evaluation import Evaluator, prediction_rows
from kdrun.inspection import Check, Inspection
from kdrun.loop import Loop, Outcome, Settings
from kdrun.method import Method, Phase
from kdrun.models import loading
from kdrun.results import RunFolder
from kdrun.screen import Screen, Watcher
from kdrun.trackers import Tracking


def run(
    config: Config, screen: Screen | None = None, words: Sequence[str] = (), group: str | None = None
) -> dict[str, Any] | None:
    """Carry out one run.

    Args:
        config: checked by `kdrun.compose`.
        screen: where to print.
        words: the overrides it was composed from, so that the result can say how to repeat it.
        group: `run_id` of the run that it is a part of, if it is.

    Returns:
        The content of result.json; None for a dry run.

    Raises:
        KdrunError: whatever the user can mend.
        KeyboardInterrupt: after the ledger has been told.
    """
    screen, command = screen or Screen(), shlex.join(["kdrun", *words])
    trackers.require(config.tracker)
    if config.dry_run:
        return _load_and_carry_out(domain_runs.first_of(config), screen, command, None)
    folder = RunFolder(config, group)
    folder.open(command)
    try:
        if domains.for_all(config.method):
            result = domain_runs.carry_out(config, screen, words, folder, command, run)
        else:
            result = _load_and_carry_out(config, screen, command, folder)
    except KeyboardInterrupt:
        folder.close("interrupted", error="stopped from the keyboard")
        raise
    except BaseException as error:
        folder.close("failed", error=f"{type(error).__name__}: {error}")
        raise
    folder.close("done", result)
    if config.report:
        screen.say(f"report: {report.write(folder.path)}")
    return result


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
    data = assembly.load_data(config)
    dev = {name: data.splits[name] for name in config.task.dev_splits}
    labels = {name: split.labels() for name, split in dev.items()}
    domains = {name: ids for name, split in dev.items() if (ids := split.domains()) is not None}
    evaluator = Evaluator(config.task, labels, accelerator, config.runtime.eval_batch_size, domains)
    return Run(config, command, screen, accelerator, folder, needs, data, evaluator, started)


def _let_go(this: Run) -> None:
    """Free the models: jobs of a sweep share one process."""
    if this.tracking is not None:
        this.tracking.close()
    this.roles.clear()
    this.accelerator.free_memory()
    gc.collect()


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
    result = summary.result(this, scores, feed, outcome)
    assert this.folder is not None
    loading.save(student.model, student.tokenizer, this.folder.path / "student")
    this.folder.predictions(
        row
        for split, values in outputs.items()
        for row in prediction_rows(
            config.task, split, this.data.splits[split].table.to_pydict(), values, this.teacher_outputs.get(split)
        )
    )
    summary.report(this, scores, result)
    return result


class _Observer(Watcher):
    """The screen's watcher, which also writes metrics.jsonl, checkpoints and samples, and tells the tracker."""

    def __init__(self, this: Run, method: Method, feed: Feed) -> None:
        super().__init__(this.screen, "student", this.config.task.headline, this.config.task.dev_splits[0])
        self.run, self.method, self.feed = this, method, feed

    def _log(self, record: dict[str, Any]) -> None:
        if self.run.folder is not None:
            self.run.folder.log(record)
        if self.run.tracking is not None:
            self.run.tracking.log(record)

    def step(self, record: dict[str, Any], total: int) -> None:
        self._log(record)
        super().step(record, total)

    def inspected(self, found: Inspection) -> None:
        self.run.inspections.append(found)
        super().inspected(found)

    def evaluated(self, record: dict[str, Any], is_best: bool) -> None:
        self._log(record)
        self._keep(("last", "best") if is_best else ("last",), record)
        if self.run.folder is not None and self.method.makes_text:
            made = samples.take(self.run, self.method, self.feed, record["step"])
            self.run.folder.samples(made)
            self.run.samples = made
        super().evaluated(record, is_best)

    def unscored(self, record: dict[str, Any]) -> None:
        self._keep(("last",), record)
        super().unscored(record)

    def _keep(self, names: tuple[str, ...], record: dict[str, Any]) -> None:
        """Write the student as it is now to these checkpoints."""
        if self.run.folder is not None:
            for name in names:
                checkpoint.save(self.run.roles["student"].model, self.run.folder.path / "checkpoints" / name, record)


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
        phases = [_one_step_each(phase) for phase in phases]
    runtime = config.runtime
    settings = Settings(config.optim, config.seed, runtime.log_every, runtime.eval_every, this.select)
    if this.folder is not None:
        this.tracking = Tracking(config, this.accelerator, this.folder.run_id)
    observer = _Observer(this, method, feed)
    try:
        return Loop(method, phases, feed, settings, this.accelerator, evaluate, observer).run()
    finally:
        observer.close()


def _one_step_each(phase: Phase) -> Phase:
    """The phase cut to one step of each turn, for a dry run; the leading role's turn comes last, as it ends it."""
    turns = tuple(replace(turn, steps=1) for turn in phase.turns)
    ordered = sorted(turns, key=lambda turn: turn.role == phase.leading_role)
    return replace(phase, turns=tuple(ordered), steps=sum(turn.role == phase.leading_role for turn in turns))
