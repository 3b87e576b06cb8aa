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
"""Name of the project in a tracker."""


def check_installed(tracker: Tracker) -> None:
    """Check for a tracker's package, before any expensive step.

    Raises:
        ConfigError: the package is not installed.
    """
    if tracker is not Tracker.none and importlib.util.find_spec(tracker.value) is None:
        name = tracker.value
        raise ConfigError([f"tracker={name} needs the package {name}: pip install 'kdrun[{name}]', or tracker=none"])


class MetricLogger:
    """One run in a tracker; does nothing for `tracker=none`.

    Args:
        config: the run's config; its values are logged, flattened.
        accelerator: created with `log_with` for the tracker.
        run_id: name of the run in the tracker.
    """

    def __init__(self, config: RunConfig, accelerator: Accelerator, run_id: str) -> None:
        self.accelerator, self.active = accelerator, config.tracker is not Tracker.none
        self.phase, self.earlier_steps, self.last_step = "", 0, 0
        if not self.active:
            return
        init_kwargs: dict[str, dict[str, Any]] = {
            "wandb": {"wandb": {"name": run_id}},
            "mlflow": {"mlflow": {"run_name": run_id}},
        }
        values = {key: _loggable(value) for key, value in flatten(to_plain(config)).items()}
        accelerator.init_trackers(PROJECT, values, init_kwargs=init_kwargs.get(config.tracker.value, {}))

    def log(self, record: dict[str, Any]) -> None:
        """Send the numbers of one record of metrics.jsonl; the prefix of their names is `eval` or the role.

        Steps are counted over all phases, since trackers drop values for earlier steps.
        """
        if not self.active:
            return
        if record["phase"] != self.phase:
            self.phase, self.earlier_steps = record["phase"], self.last_step
        self.last_step = self.earlier_steps + record["step"]
        prefix = "eval" if "eval" in record else str(record["role"])
        values = flatten(record.get("eval", record))
        numbers = {f"{prefix}/{k}": v for k, v in values.items() if isinstance(v, int | float) and k != "step"}
        self.accelerator.log(numbers, step=self.last_step)

    def state(self) -> list[Any]:
        """Step counters, for a checkpoint; a resumed run sends the steps since then again."""
        return [self.phase, self.earlier_steps, self.last_step]

    def load_state(self, state: list[Any]) -> None:
        """Resume from these step counters."""
        self.phase, self.earlier_steps, self.last_step = state

    def close(self) -> None:
        """Flush and close, so that the next job of a sweep starts a new run."""
        if self.active:
            self.accelerator.end_training()


def log_dir(config: RunConfig, run_dir: Path | None) -> str | None:
    """Folder for the files of a tracker, inside the run directory; None without a tracker or a run directory."""
    return None if config.tracker is Tracker.none or run_dir is None else str(run_dir / "tracker")


def _loggable(value: Any) -> bool | int | float | str:
    """Return lists and nulls as text, since metric loggers accept neither."""
    return value if isinstance(value, bool | int | float | str) else str(value)
