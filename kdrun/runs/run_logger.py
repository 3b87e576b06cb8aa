"""Callback that writes metrics.jsonl, the best checkpoint and text samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from kdrun import stage_times
from kdrun.data.loader import BatchLoader
from kdrun.methods.base import Method
from kdrun.runs import text_samples
from kdrun.runs.context import PreparedRun
from kdrun.storage import checkpoint_files
from kdrun.training.metric_loggers import MetricLogger
from kdrun.training.progress import ProgressCallback
from kdrun.training.step_checks import FirstStepReport


class RunLogger(ProgressCallback):
    """Progress on the console, and the run's logs, checkpoints and samples.

    Args:
        run: with its models.
        method: generates the samples.
        loader: rows that samples are generated from.
        tracker: metric loggers of the run; None in a dry run.
        observe: receives the record of each evaluation; None for a run without an observer.

    Attributes:
        samples: generated text of the last evaluation.
        first_steps: reports of the first step of each role.
    """

    def __init__(
        self,
        run: PreparedRun,
        method: Method,
        loader: BatchLoader,
        tracker: MetricLogger | None,
        observe: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(run.console, "student", run.config.task.headline, run.config.task.dev_splits[0])
        self.run, self.method, self.loader, self.tracker, self.observe = run, method, loader, tracker, observe
        self.samples: list[dict[str, Any]] = []
        self.first_steps: list[FirstStepReport] = []

    def _log(self, record: dict[str, Any]) -> None:
        if self.run.run_dir is not None:
            self.run.run_dir.log(record)
        if self.tracker is not None:
            self.tracker.log(record)

    def state(self) -> dict[str, Any]:
        """Sizes of the run's logs, state of the metric loggers, and seconds so far."""
        assert self.run.run_dir is not None
        tracked = self.tracker.state() if self.tracker else None
        return {"logs": self.run.run_dir.log_sizes(), "tracked": tracked, "seconds": self.run.stopwatch.seconds()}

    def missing_since(self, state: dict[str, Any]) -> str | None:
        """Description of what the logs lack compared with a state; None if nothing."""
        assert self.run.run_dir is not None
        return self.run.run_dir.missing_log_bytes(state["logs"])

    def load_state(self, state: dict[str, Any]) -> None:
        """Truncate the logs to their sizes in a state, and count the seconds that the run took until then."""
        run_dir = self.run.run_dir
        assert run_dir is not None
        run_dir.truncate_logs(state.get("logs", {}))
        self.samples = run_dir.last_samples()
        if self.tracker is not None and state.get("tracked"):
            self.tracker.load_state(state["tracked"])
        for stopwatch in (self.run.stopwatch, run_dir.stopwatch):
            stopwatch.add(state.get("seconds", 0.0))

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Write the record."""
        self._log(record)
        super().on_log(record, total)

    def on_first_step(self, report: FirstStepReport) -> None:
        """Keep the report for `kdrun check`."""
        self.first_steps.append(report)
        super().on_first_step(report)

    def on_evaluate(self, record: dict[str, Any], is_best: bool) -> None:
        """Write the record and samples of generated text."""
        self._log(record)
        run_dir = self.run.run_dir
        if run_dir is not None and self.method.generates_text:
            self.samples = text_samples.sample_texts(self.run, self.method, self.loader, record["step"])
            run_dir.samples(self.samples)
        super().on_evaluate(record, is_best)
        if self.observe is not None:
            self.observe(record)

    def on_best(self, record: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Write the best student so far."""
        if self.run.run_dir is not None:
            settings = self.run.roles["student"].model.config
            content = checkpoint_files.CheckpointData({"model": dict(weights)}, record, settings)
            with stage_times.stage(stage_times.FILES):
                checkpoint_files.write_checkpoint(self.run.run_dir.path / "checkpoints" / "best", content)
