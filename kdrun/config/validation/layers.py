"""Rules for methods that compare layers: depths must pair up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdrun.config.model import LayersOfConfig, ScratchConfig

DEPTH_KEYS = ("num_hidden_layers", "n_layers")
"""What BERT and RoBERTa, and DistilBERT, call the number of their layers."""


def depth_mismatch(student: int, teacher: int) -> str:
    """Why two depths do not pair up, with those that do; empty where they do."""
    if student > 0 and teacher % student == 0:
        return ""
    fitting = ", ".join(str(n) for n in range(1, teacher + 1) if teacher % n == 0)
    return (
        f"the student has {student} layers and the teacher {teacher}: this method compares every r-th layer of the "
        f"teacher, r = teacher's / student's, so the student's number must divide the teacher's; take a student of "
        f"{fitting} layers (student=layers_of student.layers=[…] or student.sizes.num_hidden_layers=…)"
    )


def layer_problems(student: Any, teacher: Any) -> Iterator[str]:
    """What is wrong with the depths that two model sections name; nothing where one of them is not known yet."""
    depths = num_layers(student), num_layers(teacher)
    if depths[0] is not None and depths[1] is not None and (problem := depth_mismatch(depths[0], depths[1])):
        yield problem


def num_layers(section: Any) -> int | None:
    """Number of layers of the model that a section asks for; None where only building it will tell."""
    if isinstance(section, LayersOfConfig):
        return len(section.layers) or None
    path = getattr(section, "path", None)
    if path is not None:
        return _depth_in(Path(path).expanduser() / "config.json")
    return _named(section.sizes) if isinstance(section, ScratchConfig) else None


def _depth_in(file: Path) -> int | None:
    """Of a saved model; a folder that cannot be read is reported where it is loaded."""
    try:
        return _named(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _named(sizes: Any) -> int | None:
    found = [sizes[key] for key in DEPTH_KEYS if key in sizes] if isinstance(sizes, dict) else []
    return found[0] if found and isinstance(found[0], int) else None
