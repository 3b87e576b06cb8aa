"""Settings of student turns on generated text."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.task import TaskConfig
from kdrun.methods.shared.soft_targets import AnnealingSettings


@dataclass
class GeneratedTextSettings(AnnealingSettings):
    """How a student uses generated text; a method's own settings inherit them."""

    reuse: int = setting(1, "student steps that use a generated text and the teacher's answer to it", ge=1)
    min_confidence: float = setting(
        0.0, "least probability of the teacher's class on a generated text that the student learns from", ge=0, lt=1
    )


def confidence_problems(config: GeneratedTextSettings, task: TaskConfig) -> list[str]:
    """A limit of confidence for a task with scores, whose teacher gives no probabilities."""
    if config.min_confidence and task.is_regression:
        value = f"method.min_confidence={config.min_confidence}"
        return [f"{value} needs the teacher's class probabilities, and task={task.name} has scores; remove it"]
    return []
