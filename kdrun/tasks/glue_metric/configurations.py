"""Configurations of the `evaluate` metric: tasks and lists of metrics."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kdrun.errors import ConfigError, did_you_mean
from kdrun.tasks.metrics import KNOWN

if TYPE_CHECKING:
    from evaluate import EvaluationModule


@cache
def task_metrics() -> dict[str, list[str]]:
    """The metrics of every task of the config tree, by task name."""
    from omegaconf import OmegaConf

    from kdrun.config.paths import CONF_DIR

    files = sorted((CONF_DIR / "task").glob("*.yaml"))
    return {file.stem: list(OmegaConf.select(OmegaConf.load(file), "metrics")) for file in files}


def as_evaluate_metric(config_name: str) -> EvaluationModule:
    """The same metrics as a metric of Hugging Face `evaluate`, from this package's folder: no network.

    Args:
        config_name: a task of the config tree, or names of `KNOWN` joined by commas, e.g. `accuracy,f1`.

    Returns:
        A metric with `add_batch` and `compute`. `evaluate` copies the script to its own cache (`HF_HOME`).

    Raises:
        ConfigError: neither a task nor known names.
    """
    metric_names(config_name)  # before evaluate, which takes seconds to import, and with a shorter message
    import evaluate

    return evaluate.load(str(Path(__file__).parent), config_name, keep_in_memory=True)


def metric_names(config_name: str) -> list[str]:
    """The metrics behind a configuration of the `evaluate` metric: a task's, or those joined by commas.

    Tasks whose answers are texts are scored by `kdrun.data.entities` and are none of them.

    Raises:
        ConfigError: neither a task nor known names.
    """
    tasks = {task: names for task, names in task_metrics().items() if set(names) <= set(KNOWN)}
    if config_name in tasks:
        return tasks[config_name]
    names = [name.strip() for name in config_name.split(",")]
    if set(names) <= set(KNOWN):
        return names
    known = [*tasks, *KNOWN]
    end = f"{did_you_mean(config_name, known)} (tasks: {', '.join(tasks)}; metrics: {', '.join(KNOWN)})"
    raise ConfigError([f"unknown task or metric {config_name!r}{end}"])
