"""Send metrics to TensorBoard, W&B or MLflow through Accelerate."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from kdrun.config.runtime import Tracker
from kdrun.config.schema import RunConfig
from kdrun.errors import ConfigError
from kdrun.storage.serialization import flatten, to_plain

PROJECT = "kdrun"
"""Name under which trackers file the runs."""


def check_installed(tracker: Tracker) -> None:
    """See that a tracker's package is there before anything is paid for.

    Raises:
        ConfigError: it is not installed.
    """
    if tracker is not Tracker.none and importlib.util.find_spec(tracker.value) is None:
        name = tracker.value
        raise ConfigError([f"tracker={name} needs the package {name}: pip install 'kdrun[{name}]', or tracker=none"])


class MetricLogger:
    """One run at a tracker; does nothing for `tracker=none`.

    Args:
        config: of the run; its values are filed with it, flattened.
        accelerator: made with `log_with` of the tracker.
        run_id: names the run there.
    """

    def __init__(self, config: RunConfig, accelerator: Accelerator, run_id: str) -> None:
        self.accelerator, self.active = accelerator, config.tracker is not Tracker.none
        self.phase, self.before, self.last = "", 0, 0
        if not self.active:
            return
        own: dict[str, dict[str, Any]] = {
            "wandb": {"wandb": {"name": run_id}},
            "mlflow": {"mlflow": {"run_name": run_id}},
        }
        values = {key: _loggable(value) for key, value in flatten(to_plain(config)).items()}
        accelerator.init_trackers(PROJECT, values, init_kwargs=own.get(config.tracker.value, {}))

    def log(self, record: dict[str, Any]) -> None:
        """Send the numbers of one record of metrics.jsonl, named by what they are of.

        Steps are counted on through the phases: trackers drop what comes at a step that has gone by.
        """
        if not self.active:
            return
        if record["phase"] != self.phase:
            self.phase, self.before = record["phase"], self.last
        self.last = self.before + record["step"]
        kind = "eval" if "eval" in record else str(record["role"])
        values = flatten(record.get("eval", record))
        numbers = {f"{kind}/{k}": v for k, v in values.items() if isinstance(v, int | float) and k != "step"}
        self.accelerator.log(numbers, step=self.last)

    def state(self) -> list[Any]:
        """How far the steps are counted, for a run that goes on: the steps between are sent once more."""
        return [self.phase, self.before, self.last]

    def load_state(self, state: list[Any]) -> None:
        """Count on from there."""
        self.phase, self.before, self.last = state

    def close(self) -> None:
        """Flush and let go, so that the next job of a sweep starts a run of its own."""
        if self.active:
            self.accelerator.end_training()


def log_dir(config: RunConfig, run_folder: Path | None) -> str | None:
    """Where a tracker that writes files puts them: inside the run's folder."""
    return None if config.tracker is Tracker.none or run_folder is None else str(run_folder / "tracker")


def _loggable(value: Any) -> bool | int | float | str:
    """Return lists and nulls as text, since metric loggers accept neither."""
    return value if isinstance(value, bool | int | float | str) else str(value)
