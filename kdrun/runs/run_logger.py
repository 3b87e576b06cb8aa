"""Callback that writes metrics.jsonl, the best checkpoint and text samples."""

from __future__ import annotations

import time
from typing import Any

from kdrun.data.loader import BatchLoader
from kdrun.methods.base import Method
from kdrun.runs import text_samples
from kdrun.runs.context import RunContext
from kdrun.storage import checkpoint_files, state_tensors
from kdrun.training.progress import ProgressCallback
from kdrun.training.step_checks import FirstStepReport


class RunLogger(ProgressCallback):
    """The screen's watcher, which also writes metrics.jsonl, checkpoints and samples, and tells the tracker."""

    def __init__(self, run: RunContext, method: Method, feed: BatchLoader) -> None:
        super().__init__(run.console, "student", run.config.task.headline, run.config.task.dev_splits[0])
        self.run, self.method, self.feed = run, method, feed

    def _log(self, record: dict[str, Any]) -> None:
        if self.run.run_dir is not None:
            self.run.run_dir.log(record)
        if self.run.tracking is not None:
            self.run.tracking.log(record)

    def state(self) -> dict[str, Any]:
        """Where the run's logs and clocks stand."""
        assert self.run.run_dir is not None
        tracked = self.run.tracking.state() if self.run.tracking else None
        seconds = time.perf_counter() - self.run.started
        return {"logs": self.run.run_dir.sizes(), "tracked": tracked, "seconds": seconds}

    def missing_since(self, state: dict[str, Any]) -> str | None:
        """What is missing of the logs as they were then."""
        assert self.run.run_dir is not None
        return self.run.run_dir.missing_since(state["logs"])

    def load_state(self, state: dict[str, Any]) -> None:
        """Cut the logs back to where they stood, and count the time that it took to come there."""
        folder = self.run.run_dir
        assert folder is not None
        folder.cut(state.get("logs", {}))
        self.run.samples = folder.last_samples()
        if self.run.tracking is not None and state.get("tracked"):
            self.run.tracking.load_state(state["tracked"])
        for clock in (self.run, folder):
            clock.started -= state.get("seconds", 0.0)

    def on_log(self, record: dict[str, Any], total: int) -> None:
        """Write the line."""
        self._log(record)
        super().on_log(record, total)

    def on_first_step(self, report: FirstStepReport) -> None:
        """Keep what was found for `kdrun check`."""
        self.run.inspections.append(report)
        super().on_first_step(report)

    def on_evaluate(self, record: dict[str, Any], is_best: bool) -> None:
        """Write the line, the student if it is the best so far, and samples of the text that the method makes."""
        self._log(record)
        if is_best and self.run.run_dir is not None:
            model = self.run.roles["student"].model
            content = checkpoint_files.CheckpointData(
                {"model": state_tensors.module_tensors(model)}, record, model.config
            )
            checkpoint_files.write_checkpoint(self.run.run_dir.path / "checkpoints" / "best", content)
        if self.run.run_dir is not None and self.method.generates_text:
            made = text_samples.sample_texts(self.run, self.method, self.feed, record["step"])
            self.run.run_dir.samples(made)
            self.run.samples = made
        super().on_evaluate(record, is_best)
