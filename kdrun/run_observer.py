"""A run's observer: screen, metrics.jsonl, the best checkpoint, samples of made text, the tracker."""

from __future__ import annotations

import time
from typing import Any

from kdrun import checkpoint, samples
from kdrun.assembly import Run
from kdrun.data.feed import Feed
from kdrun.inspection import Inspection
from kdrun.method import Method
from kdrun.screen import Watcher


class RunObserver(Watcher):
    """The screen's watcher, which also writes metrics.jsonl, checkpoints and samples, and tells the tracker."""

    def __init__(self, this: Run, method: Method, feed: Feed) -> None:
        super().__init__(this.screen, "student", this.config.task.headline, this.config.task.dev_splits[0])
        self.run, self.method, self.feed = this, method, feed

    def _log(self, record: dict[str, Any]) -> None:
        if self.run.folder is not None:
            self.run.folder.log(record)
        if self.run.tracking is not None:
            self.run.tracking.log(record)

    def state(self) -> dict[str, Any]:
        """Where the run's logs and clocks stand."""
        assert self.run.folder is not None
        tracked = self.run.tracking.state() if self.run.tracking else None
        seconds = time.perf_counter() - self.run.started
        return {"logs": self.run.folder.sizes(), "tracked": tracked, "seconds": seconds}

    def lacks(self, state: dict[str, Any]) -> str | None:
        """What is missing of the logs as they were then."""
        assert self.run.folder is not None
        return self.run.folder.lacks(state["logs"])

    def load_state(self, state: dict[str, Any]) -> None:
        """Cut the logs back to where they stood, and count the time that it took to come there."""
        folder = self.run.folder
        assert folder is not None
        folder.cut(state.get("logs", {}))
        self.run.samples = folder.last_samples()
        if self.run.tracking is not None and state.get("tracked"):
            self.run.tracking.load_state(state["tracked"])
        for clock in (self.run, folder):
            clock.started -= state.get("seconds", 0.0)

    def step(self, record: dict[str, Any], total: int) -> None:
        """Write the line."""
        self._log(record)
        super().step(record, total)

    def inspected(self, found: Inspection) -> None:
        """Keep what was found for `kdrun check`."""
        self.run.inspections.append(found)
        super().inspected(found)

    def evaluated(self, record: dict[str, Any], is_best: bool) -> None:
        """Write the line, the student if it is the best so far, and samples of the text that the method makes."""
        self._log(record)
        if is_best and self.run.folder is not None:
            model = self.run.roles["student"].model
            content = checkpoint.Content({"model": checkpoint.tensors_of(model)}, record, model.config)
            checkpoint.write(self.run.folder.path / "checkpoints" / "best", content)
        if self.run.folder is not None and self.method.makes_text:
            made = samples.take(self.run, self.method, self.feed, record["step"])
            self.run.folder.samples(made)
            self.run.samples = made
        super().evaluated(record, is_best)
