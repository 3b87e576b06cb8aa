"""Configurations of the `evaluate` metric: tasks and lists of metrics."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kdrun.errors import ConfigError, did_you_mean
from kdrun.tasks.metrics import vector_metrics

if TYPE_CHECKING:
    from evaluate import EvaluationModule


@cache
def task_metrics() -> dict[str, list[str]]:
    """The metrics of every task of the config tree, by task name."""
    from omegaconf import OmegaConf

    from kdrun.config.paths import CONF_DIR

    files = sorted((CONF_DIR / "task").glob("*.yaml"))
    metrics = {file.stem: list(OmegaConf.select(OmegaConf.load(file), "metrics")) for file in files}
    return {name: names for name, names in metrics.items() if names}  # task=own has none before its rows are known


def as_evaluate_metric(config_name: str) -> EvaluationModule:
    """Load the metrics as a Hugging Face `evaluate` metric, from this package's folder, without network.

    Args:
        config_name: a task of the config tree, or names of metrics joined by commas, e.g. `accuracy,f1`.

    Returns:
        A metric with `add_batch` and `compute`. `evaluate` copies the script to its own cache (`HF_HOME`).

    Raises:
        ConfigError: neither a task nor known names.
    """
    metric_names(config_name)  # check the name before the import of evaluate, which takes seconds
    import evaluate

    return evaluate.load(str(Path(__file__).parent), config_name, keep_in_memory=True)


def metric_names(config_name: str) -> list[str]:
    """Metrics of a configuration of the `evaluate` metric: a task, or metrics joined by commas.

    Tasks with text answers are excluded, since `kdrun.data.entities` scores them.

    Raises:
        ConfigError: neither a task nor known names.
    """
    known = vector_metrics()
    tasks = {task: names for task, names in task_metrics().items() if set(names) <= set(known)}
    if config_name in tasks:
        return tasks[config_name]
    names = [name.strip() for name in config_name.split(",")]
    if set(names) <= set(known):
        return names
    choices = [*tasks, *known]
    end = f"{did_you_mean(config_name, choices)} (tasks: {', '.join(tasks)}; metrics: {', '.join(known)})"
    raise ConfigError([f"unknown task or metric {config_name!r}{end}"])
