"""The entrypoint of a run: data → teacher → student → method → loop → evaluation → result."""

from __future__ import annotations

import gc
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kdrun import assembly, checkpoint, registry, summary, teacher
from kdrun.assembly import Run
from kdrun.config import Config
from kdrun.data import sources
from kdrun.data.feed import Feed
from kdrun.evaluation import Evaluator, prediction_rows
from kdrun.loop import Loop, Outcome, Settings
from kdrun.method import Method, Phase
from kdrun.models import loading
from kdrun.results import RunFolder
from kdrun.screen import Screen, Watcher


def run(config: Config, screen: Screen | None = None, words: Sequence[str] = ()) -> dict[str, Any] | None:
    """Carry out one run.

    Args:
        config: checked by `kdrun.compose`.
        screen: where to print.
        words: the overrides it was composed from, so that the result can say how to repeat it.

    Returns:
        The content of result.json; None for a dry run.

    Raises:
        KdrunError: whatever the user can mend.
        KeyboardInterrupt: after the ledger has been told.
    """
    screen, command = screen or Screen(), shlex.join(["kdrun", *words])
    if config.dry_run:
        return _load_and_carry_out(config, screen, command, None)
    folder = RunFolder(config)
    folder.open(command)
    try:
        result = _load_and_carry_out(config, screen, command, folder)
    except KeyboardInterrupt:
        folder.close("interrupted", error="stopped from the keyboard")
        raise
    except BaseException as error:
        folder.close("failed", error=f"{type(error).__name__}: {error}")
        raise
    folder.close("done", result)
    return result


def _load_and_carry_out(
    config: Config, screen: Screen, command: str, folder: RunFolder | None
) -> dict[str, Any] | None:
    """Load the data, carry out the run, and let go of its models: jobs of a sweep share one process."""
    started = time.perf_counter()
    needs = registry.get("method", config.method.name).target.needs
    accelerator = assembly.accelerator(config.runtime)
    data = sources.load(config.data, config.task)
    labels = {name: data.splits[name].labels() for name in config.task.dev_splits}
    evaluator = Evaluator(config.task, labels, accelerator, config.runtime.eval_batch_size)
    this = Run(config, command, screen, accelerator, folder, needs, data, evaluator, started)
    try:
        return _carry_out(this)
    finally:
        this.roles.clear()
        accelerator.free_memory()
        gc.collect()


def _carry_out(this: Run) -> dict[str, Any] | None:
    config, screen = this.config, this.screen
    assembly.build_roles(this)
    summary.introduce(this)
    if this.needs.teacher:
        _teach(this)
    method = assembly.method(this)
    feed = assembly.feed(this)
    outcome = _distil(this, method, feed)
    if config.dry_run:
        screen.say("dry run: everything composes, builds, trains one step of each turn and evaluates")
        return None
    student = this.roles["student"]
    tables = this.dev_tokens("student")
    logits = {split: this.evaluator.logits(student.model, table) for split, table in tables.items()}
    scores = this.evaluator.score(logits)
    result = summary.result(this, scores, feed, outcome)
    assert this.folder is not None
    loading.save(student.model, student.tokenizer, this.folder.path / "student")
    this.folder.predictions(
        row
        for split, values in logits.items()
        for row in prediction_rows(config.task, split, values, this.evaluator.labels[split])
    )
    summary.report(this, scores, result)
    return result


def _teach(this: Run) -> None:
    """Fine-tune or fetch the teacher, score it, refuse one that knows nothing."""
    config, built = this.config, this.roles["teacher"]
    setting = assembly.teaching(this)
    if teacher.wants_fine_tuning(config.teacher, built) and not config.dry_run:
        watcher = Watcher(this.screen, "teacher", config.task.headline, config.task.dev_splits[0])
        try:
            built, hit = teacher.fine_tuned(built, assembly.context(this, "teacher"), setting, watcher)
        finally:
            watcher.close()
        this.screen.say(f"teacher {'read from the cache' if hit else 'fine-tuned and kept in the cache'}")
    built.model.requires_grad_(False).eval()
    this.roles["teacher"] = built
    if config.dry_run:
        return
    this.teacher_scores = setting.scores(built)
    warning = teacher.refuse_weak(this.teacher_scores, setting)
    if warning:
        this.screen.warn(warning)


class _Observer(Watcher):
    """The screen's watcher, which also writes metrics.jsonl and checkpoints."""

    def __init__(self, this: Run) -> None:
        super().__init__(this.screen, "student", this.config.task.headline, this.config.task.dev_splits[0])
        self.run = this

    def step(self, record: dict[str, Any], total: int) -> None:
        if self.run.folder is not None:
            self.run.folder.log(record)
        super().step(record, total)

    def evaluated(self, record: dict[str, Any], is_best: bool) -> None:
        if self.run.folder is not None:
            self.run.folder.log(record)
            student, checkpoints = self.run.roles["student"], self.run.folder.path / "checkpoints"
            for name in ("last", "best") if is_best else ("last",):
                checkpoint.save(student.model, checkpoints / name, record)
        super().evaluated(record, is_best)


def _distil(this: Run, method: Method, feed: Feed) -> Outcome:
    config, student = this.config, this.roles["student"]
    tables = this.dev_tokens("student")
    limit = 1 if config.dry_run else None

    def evaluate() -> tuple[float | None, dict[str, Any]]:
        logits = {s: this.evaluator.logits(student.model, t, limit) for s, t in tables.items()}
        if config.dry_run:
            return None, {}
        scores = this.evaluator.score(logits)
        return this.evaluator.headline(scores), scores

    phases = method.phases(config.optim)
    if config.dry_run:
        phases = [_one_step_each(phase) for phase in phases]
    runtime = config.runtime
    optims = {"student": config.optim}
    settings = Settings(optims, config.seed, runtime.log_every, runtime.eval_every, config.select)
    observer = _Observer(this)
    try:
        return Loop(method, phases, feed, settings, this.accelerator, evaluate, observer).run()
    finally:
        observer.close()


def _one_step_each(phase: Phase) -> Phase:
    """The phase cut to one step of each turn, for a dry run."""
    turns = tuple(replace(turn, steps=1) for turn in phase.turns)
    return replace(phase, turns=turns, steps=len(turns))
