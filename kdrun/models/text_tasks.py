"""Tasks answered with text: prompts, and the task of a checkpoint."""

from __future__ import annotations

import math
from typing import Any

from transformers import PreTrainedConfig

from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError


def answers_of(task: TaskConfig) -> list[str]:
    """Label words of the task, or the types of its entities; for free text the name of the task."""
    return [task.name] if task.is_free_text else list(task.entities or task.label_words)


def sign(config: Any, task: TaskConfig) -> None:
    """Record a task that is answered with text in the config of a model that is trained on it."""
    config.prompts = list(task.prompts)
    if task.is_free_text:
        config.free_text = task.name
    else:
        config.entities = list(task.entities)


def task_signature(config: PreTrainedConfig) -> tuple[list[str], list[str]]:
    """Answers and prompts of the task that kdrun trained a checkpoint on; empty for other checkpoints."""
    free_text = getattr(config, "free_text", None)
    answers = getattr(config, "entities", None) or getattr(config, "label_words", None) or filter(None, [free_text])
    return list(answers), list(getattr(config, "prompts", None) or [])


def was_trained_on(config: PreTrainedConfig, task: TaskConfig) -> bool:
    """Whether kdrun trained a checkpoint on this task: its config holds the task's answers and prompts."""
    return task_signature(config) == (answers_of(task), list(task.prompts))


def check_prompts(task: TaskConfig, role: str) -> None:
    """Check that a task has the prompts and label words that a text-to-text model needs.

    Raises:
        ModelError: a text has no prompt, a label has no label word, or the label words of a score are not numbers.
    """
    labels, words = len(task.labels), task.label_words
    words_match = len(words) == labels if labels else len(words) > 1 and all(_is_number(word) for word in words)
    if (task.is_text or words_match) and len(task.prompts) == len(task.text):
        return
    raise ModelError(
        f"the {role} answers with text, and task {task.name} has {len(task.prompts)} prompts for "
        f"{len(task.text)} texts and {len(words)} label words ({', '.join(words) or 'none'}) for "
        f"{f'{labels} labels' if labels else 'a score, whose words are numbers'}; it needs one each (task.prompts, "
        "task.label_words)"
    )


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False
