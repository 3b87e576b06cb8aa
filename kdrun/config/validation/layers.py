"""Rules for methods that compare layers: depths must pair up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdrun.config.architectures import all_families, find_family
from kdrun.config.family_spec import FamilySpec
from kdrun.config.model import LayersOfConfig, ModelConfig, ScratchConfig
from kdrun.config.validation.saved_models import read_saved_config
from kdrun.errors import Problem

ANY_DEPTH_KEY = tuple(dict.fromkeys(key for family in all_families() for key in family.depth_keys))
"""Keys that may hold the number of layers in the config of a family without an entry."""


def depth_mismatch(student: int, teacher: int) -> str:
    """Why two depths do not pair up, with the depths that do; empty where they pair up."""
    if student > 0 and teacher % student == 0:
        return ""
    fitting = ", ".join(str(n) for n in range(1, teacher + 1) if teacher % n == 0)
    return (
        f"the student has {student} layers and the teacher {teacher}: this method compares every r-th layer of the "
        f"teacher, r = teacher's / student's, so the student's number must divide the teacher's; take a student of "
        f"{fitting} layers (student=layers_of student.layers=[…] or student.sizes.num_hidden_layers=…)"
    )


def layer_problems(
    student: ModelConfig, teacher: ModelConfig, mismatch: Callable[[int, int], str] = depth_mismatch
) -> Iterator[Problem]:
    """A mismatch between the depths of two model sections; nothing where one of them is not known yet.

    Args:
        student: its section.
        teacher: likewise.
        mismatch: why two depths, the student's and the teacher's, do not fit each other; empty where they do.
    """
    depths = num_layers(student), num_layers(teacher)
    if depths[0] is not None and depths[1] is not None and (text := mismatch(depths[0], depths[1])):
        yield Problem("student", depths[0], text)


def num_layers(section: ModelConfig) -> int | None:
    """Number of layers of a section's model; None where only building the model tells."""
    if isinstance(section, LayersOfConfig):
        return len(section.layers) or None
    if section.path is not None:
        config = read_saved_config(section.path)
        return None if config is None else _depth(config, find_family(config.get("model_type")))
    return _depth(section.sizes, section.architecture.spec) if isinstance(section, ScratchConfig) else None


def _depth(config: dict[str, Any], family: FamilySpec | None) -> int | None:
    depths = [config[key] for key in (family.depth_keys if family else ANY_DEPTH_KEY) if key in config]
    return depths[0] if depths and isinstance(depths[0], int) else None
