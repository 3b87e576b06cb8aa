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
    """What a teacher or student of the task is."""
    return AnswerT5 if task.is_extraction else T5LabelScorer


def answers_of(task: TaskConfig) -> list[str]:
    """The words that answers to the task are made of: a word per label, or the types of entities."""
    return list(task.entities or task.label_words)


def task_signature(config: T5Config) -> tuple[list[str], list[str]]:
    """Answers and prompts that a checkpoint was taught by kdrun; empty for any other."""
    answers = getattr(config, "entities", None) or getattr(config, "label_words", None) or []
    return list(answers), list(getattr(config, "prompts", None) or [])


def was_trained_on(config: T5Config, task: TaskConfig) -> bool:
    """Whether a checkpoint was taught this very task by kdrun: the words in its config are the task's."""
    return task_signature(config) == (answers_of(task), list(task.prompts))


def check_prompts(task: TaskConfig, role: str) -> None:
    """A task that says nothing to a text-to-text model cannot be taught to one.

    Raises:
        ModelError: it has not a prompt for each text, or not a label word for each label, or not numbers for a score.
    """
    wanted, words = len(task.labels), task.label_words
    fits = len(words) == wanted if wanted else len(words) > 1 and all(_is_number(word) for word in words)
    if (task.entities or fits) and len(task.prompts) == len(task.text):
        return
    raise ModelError(
        f"the {role} is a text-to-text model, and task {task.name} has {len(task.prompts)} prompts for "
        f"{len(task.text)} texts and {len(words)} label words ({', '.join(words) or 'none'}) for "
        f"{f'{wanted} labels' if wanted else 'a score, whose words are numbers'}; it needs one each (task.prompts, "
        "task.label_words)"
    )


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False
