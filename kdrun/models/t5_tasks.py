"""T5 classes of tasks, and the tasks of T5 checkpoints."""

from __future__ import annotations

import math

from transformers import T5Config

from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.models.t5_base import TaskT5
from kdrun.models.t5_label_scoring import T5LabelScorer
from kdrun.models.t5_seq2seq import AnswerT5


def model_class(task: TaskConfig) -> type[TaskT5]:
    """Class of a T5 teacher or student of the task."""
    return AnswerT5 if task.is_extraction else T5LabelScorer


def answers_of(task: TaskConfig) -> list[str]:
    """Label words of the task, or the types of its entities."""
    return list(task.entities or task.label_words)


def task_signature(config: T5Config) -> tuple[list[str], list[str]]:
    """Answers and prompts of the task that kdrun trained a checkpoint on; empty for other checkpoints."""
    answers = getattr(config, "entities", None) or getattr(config, "label_words", None) or []
    return list(answers), list(getattr(config, "prompts", None) or [])


def was_trained_on(config: T5Config, task: TaskConfig) -> bool:
    """Whether kdrun trained a checkpoint on this task: its config holds the task's answers and prompts."""
    return task_signature(config) == (answers_of(task), list(task.prompts))


def check_prompts(task: TaskConfig, role: str) -> None:
    """Check that a task has the prompts and label words that a text-to-text model needs.

    Raises:
        ModelError: a text has no prompt, a label has no label word, or the label words of a score are not numbers.
    """
    labels, words = len(task.labels), task.label_words
    words_match = len(words) == labels if labels else len(words) > 1 and all(_is_number(word) for word in words)
    if (task.entities or words_match) and len(task.prompts) == len(task.text):
        return
    raise ModelError(
        f"the {role} is a text-to-text model, and task {task.name} has {len(task.prompts)} prompts for "
        f"{len(task.text)} texts and {len(words)} label words ({', '.join(words) or 'none'}) for "
        f"{f'{labels} labels' if labels else 'a score, whose words are numbers'}; it needs one each (task.prompts, "
        "task.label_words)"
    )


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False
