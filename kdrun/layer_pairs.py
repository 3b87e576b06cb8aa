"""Which layer of the teacher a student's layer is compared with: from the depths alone, so it is known early.

Nothing here imports torch: depths that a config names are checked before anything loads.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config import LayersOfConfig, ScratchConfig
from kdrun.errors import ModelError

Pairs = tuple[tuple[int, int], ...]
"""(student, teacher) each."""

DEPTH_KEYS = ("num_hidden_layers", "n_layers")
"""What BERT and RoBERTa, and DistilBERT, call the number of their layers."""


@dataclass(frozen=True)
class LayerPairs:
    """What is compared with what.

    Attributes:
        hidden: numbers of hidden states; 0 is the embeddings, k the output of the k-th layer.
        attention: layers, counted from 0.
    """

    hidden: Pairs
    attention: Pairs


def layer_pairs(student: int, teacher: int) -> LayerPairs:
    """The pairs of TinyBERT (Jiao et al. 2020, arXiv 1909.10351): every r-th layer of the teacher, r = L_T / L_S.

    Student state i learns teacher state i·r for i = 0 … L_S, so the embeddings learn the embeddings and the last layer
    the last; student layer i learns the attention of teacher layer (i + 1)·r − 1.

    Args:
        student: L_S, its number of layers.
        teacher: L_T.

    Raises:
        ModelError: L_S does not divide L_T.
    """
    problem = _misfit(student, teacher)
    if problem:
        raise ModelError(problem)
    ratio = teacher // student
    return LayerPairs(
        hidden=tuple((i, i * ratio) for i in range(student + 1)),
        attention=tuple((i, (i + 1) * ratio - 1) for i in range(student)),
    )


def _misfit(student: int, teacher: int) -> str:
    """Why two depths do not pair up, with those that do; empty where they do."""
    if student > 0 and teacher % student == 0:
        return ""
    fitting = ", ".join(str(n) for n in range(1, teacher + 1) if teacher % n == 0)
    return (
        f"the student has {student} layers and the teacher {teacher}: this method compares every r-th layer of the "
        f"teacher, r = teacher's / student's, so the student's number must divide the teacher's; take a student of "
        f"{fitting} layers (student=layers_of student.layers=[…] or student.sizes.num_hidden_layers=…)"
    )


def problems(student: Any, teacher: Any) -> Iterator[str]:
    """What is wrong with the depths that two model sections name; nothing where one of them is not known yet."""
    depths = depth(student), depth(teacher)
    if depths[0] is not None and depths[1] is not None and (problem := _misfit(depths[0], depths[1])):
        yield problem


def depth(section: Any) -> int | None:
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


def facts(student: Any, teacher: Any) -> list[tuple[str, str]]:
    """The pairs for the screen.

    Args:
        student: the transformers config of its model.
        teacher: likewise.

    Raises:
        ModelError: the depths do not pair up.
    """
    pairs = layer_pairs(student.num_hidden_layers, teacher.num_hidden_layers)
    heads = student.num_attention_heads, teacher.num_attention_heads
    over = "" if heads[0] == heads[1] else f"; averaged over heads first (student {heads[0]}, teacher {heads[1]})"
    widths = f"one learned projection {student.hidden_size} → {teacher.hidden_size}"
    return [
        ("hidden states", f"{_shown(pairs.hidden)} (0: embeddings), through {widths}"),
        ("attention maps", f"{_shown(pairs.attention)} (0: first layer){over}"),
    ]


def _shown(pairs: Pairs) -> str:
    return ", ".join(f"{own}–{other}" for own, other in pairs)
