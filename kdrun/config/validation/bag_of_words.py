"""Rules for bags of words, which have neither layers nor embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdrun import registry
from kdrun.config.model import BAG_OF_WORDS, BagOfWordsStudentConfig, ModelConfig
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.config.validation.saved_models import read_saved_config
from kdrun.errors import Problem
from kdrun.formatting import join_words


def bag_of_words_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Methods, tasks and settings that a bag of words does not fit, each with its reason."""
    method = config.method.name
    if needs.compares_states and needs.teacher and _is_bag_of_words(config.teacher):
        text = f"method={method} compares layers, and the teacher (teacher.path) is a bag of words, which has none"
        yield Problem("teacher.path", config.teacher.path, text)
    if not _is_bag_of_words(config.student):
        return
    if uses := needs.obstacles_to_bag_of_words:
        text = (
            f"method={method} needs a transformer: {join_words(uses)}, and the student is a bag of words, which has "
            f"neither layers nor embeddings; take a method that fits: {', '.join(fitting_methods())}"
        )
        yield Problem("method", method, text)
    if config.task.is_text:
        text = f"student=bow: a bag of words generates no text, and task={config.task.name} is answered with one"
        yield Problem("student", "bow", text)
    if "student" in config.runtime.shard.roles:
        shard = config.runtime.shard.value
        text = f"runtime.shard={shard}: a bag of words is one layer, which is not divided; set runtime.shard=none"
        yield Problem("runtime.shard", shard, text)


def fitting_methods() -> list[str]:
    """Methods that train a bag of words."""
    entries = registry.entries("method").items()
    return [name for name, entry in entries if not entry.target.requires.obstacles_to_bag_of_words]


def _is_bag_of_words(section: Any) -> bool:
    if not isinstance(section, ModelConfig):
        return False
    if section.path is not None and isinstance(section.path, str):
        return (read_saved_config(section.path) or {}).get("model_type") == BAG_OF_WORDS
    return isinstance(section, BagOfWordsStudentConfig)
