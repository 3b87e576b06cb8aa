"""The task of a saved model, by its run or config."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.errors import DataError
from kdrun.storage.json_reader import Rule, Shape, shape_problems

MODEL_SHAPE: dict[str, Shape] = {
    "model_type?": str,
    "id2label?": ({"*": str}, None),
    "num_labels?": (int, None),
    "problem_type?": (str, None),
    "entities?": ([str], None),
    "free_text?": (str, None),
    "label_words?": ([str], None),
    "prompts?": ([str], None),
}
"""Keys of a config.json that say what a model answers."""
DEFAULT_LABELS = 2
"""Outputs of a classifier of transformers whose config names none."""


def task_of_run(values: Mapping[str, Any], where: str) -> TaskConfig:
    """The task of a run, from the config in its `run.json`.

    Keys that this version does not know are left out, and missing ones have their defaults.

    Args:
        values: the section `task`.
        where: the file, for messages.

    Raises:
        DataError: a value has another type.
    """
    hints = typing.get_type_hints(TaskConfig)
    known = {item.name: values[item.name] for item in dataclasses.fields(TaskConfig) if item.name in values}
    problems = [text for name, value in known.items() for text in shape_problems(value, _shape(hints[name]), name)]
    problems += [f"{name} is missing" for name in ("name", "headline") if name not in known]
    if problems:
        raise DataError(f"{where}: the section task of its config was not written by a run: {'; '.join(problems[:5])}")
    enums = {name: enum for name, hint in hints.items() if (enum := _enum_of(hint)) is not None}
    sections: Any = {
        name: enums[name](value) if name in enums and value is not None else value for name, value in known.items()
    }
    return TaskConfig(**sections)


def _enum_of(hint: Any) -> type[Enum] | None:
    """The enum of a type hint such as `TaskKind | None`; None for any other hint."""
    options = [hint, *typing.get_args(hint)]
    return next((one for one in options if isinstance(one, type) and issubclass(one, Enum)), None)


def _shape(hint: Any) -> Shape:
    """The shape of a value with this type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return Rule("any value", lambda value: True)
    if origin is list:
        return [_shape(arguments[0])]
    if origin is dict:
        return {"*": _shape(arguments[1])}
    if origin in (types.UnionType, typing.Union):
        return (_shape(next(one for one in arguments if one is not type(None))), None)
    if issubclass(hint, Enum):
        allowed = [member.value for member in hint]
        return Rule(f"one of {', '.join(map(str, allowed))}", lambda value: value in allowed)
    return hint


def task_of_model(config: Mapping[str, Any], name: str, where: str) -> TaskConfig:
    """The task of a model that no run describes: its labels by `id2label`, a score for one output.

    Args:
        config: content of config.json.
        name: name of the task.
        where: the folder, for messages.

    Raises:
        DataError: the values that name the answers have other types.
    """
    problems = list(shape_problems(config, MODEL_SHAPE))
    if problems:
        raise DataError(f"{where}: config.json: {'; '.join(problems[:5])}")
    prompts, entities = list(config.get("prompts") or []), list(config.get("entities") or [])
    # without prompts the number of texts is open, and `TaskConfig.text` is empty
    facts: dict[str, Any] = {
        "name": name,
        "headline": "accuracy",
        "text": [f"text {i + 1}" for i in range(len(prompts))],
    }
    facts |= {"prompts": prompts, "label_words": list(config.get("label_words") or [])}
    if entities:
        return TaskConfig(**facts, entities=entities)
    if config.get("free_text"):
        return TaskConfig(**facts | {"name": config["free_text"]}, kind=TaskKind.text)
    labels = _labels(config, where)
    is_score = len(labels) == 1 or config.get("problem_type") == "regression"
    kind = TaskKind.multi_label if config.get("problem_type") == "multi_label_classification" and not is_score else None
    return TaskConfig(**facts, labels=[] if is_score else labels, kind=kind)


def _labels(config: Mapping[str, Any], where: str) -> list[str]:
    names = config.get("id2label")
    if not names:
        return [f"LABEL_{i}" for i in range(config.get("num_labels") or DEFAULT_LABELS)]
    if sorted(names) != sorted(map(str, range(len(names)))):
        raise DataError(
            f"{where}: config.json: the keys of id2label must be 0 … {len(names) - 1}, got {', '.join(names)}"
        )
    return [names[str(i)] for i in range(len(names))]
