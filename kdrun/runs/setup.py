"""Begin a run: its context, rows and evaluator; free its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kdrun import progress, registry, stage_times
from kdrun.config.recorded_files import content_digest
from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.data import run_data
from kdrun.data.dataset import TaskDataset
from kdrun.runs.context import RunContext
from kdrun.runs.provenance import versions
from kdrun.runs.run_dir import RunDirectory, Stopwatch
from kdrun.storage import cache_eviction
from kdrun.tasks.evaluator import Evaluator
from kdrun.tasks.predictor import Predictor
from kdrun.training import memory
from kdrun.training.accelerator import make_accelerator


def start_run(
    config: RunConfig, console: Console, command: str, run_dir: RunDirectory | None, is_check: bool = False
) -> RunContext:
    """The context of a run that begins now; arguments as the attributes of `RunContext`."""
    stopwatch = Stopwatch()
    return RunContext(
        config=config,
        command=command,
        console=console,
        accelerator=make_accelerator(config, run_dir.path if run_dir else None),
        run_dir=run_dir,
        requires=registry.get("method", config.method.name).target.requires,
        stopwatch=stopwatch,
        is_check=is_check,
    )


def load_data(context: RunContext) -> tuple[TaskDataset, Evaluator]:
    """Load the rows and make the evaluator; a resumed run must find the rows and libraries it had before."""
    config, accelerator, run_dir = context.config, context.accelerator, context.run_dir
    with stage_times.stage(stage_times.DATA), progress.track("reading the data"):
        data = run_data.load_run_data(config)
    dev = {name: data.splits[name] for name in config.task.dev_splits}
    evaluator = Evaluator.for_splits(config.task, dev, Predictor(accelerator, config.runtime.eval_batch_size))
    if run_dir is not None:
        environment = {"data": data.fingerprint, "device": accelerator.device.type, **versions()}
        if (content := content_digest(config)) is not None:
            environment["recorded teacher"] = content
        run_dir.record_environment(environment)
    return data, evaluator


@contextmanager
def execution() -> Iterator[None]:
    """Record the times of a run, and free its memory at the end."""
    try:
        with stage_times.record():
            yield
    finally:
        release()


def release() -> None:
    """Free memory and cache entries: jobs of a sweep share one process."""
    cache_eviction.release_all()
    memory.release_memory()  # otherwise the process of a comparison doubles in size
