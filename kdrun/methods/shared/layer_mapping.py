"""Which teacher layer a student layer is compared with.

It imports without torch, since depths in a config are checked before anything loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdrun.config.validation.layers import depth_mismatch
from kdrun.errors import ModelError

Pairs = tuple[tuple[int, int], ...]
"""Pairs of (student, teacher) indices."""


@dataclass(frozen=True)
class LayerMapping:
    """Pairs of student and teacher layers to compare.

    Attributes:
        hidden: indices of hidden states; 0 is the embeddings, k the output of the k-th layer.
        attention: indices of layers, counted from 0.
    """

    hidden: Pairs
    attention: Pairs


def uniform_layer_mapping(student: int, teacher: int) -> LayerMapping:
    """Layer pairs of TinyBERT (Jiao et al. 2020, arXiv 1909.10351): every r-th layer of the teacher, r = L_T / L_S.

    Student state i learns teacher state i·r for i = 0 … L_S, so that embeddings learn embeddings and the last layer
    learns the last. Student layer i learns the attention of teacher layer (i + 1)·r − 1.

    Args:
        student: L_S, its number of layers.
        teacher: L_T.

    Raises:
        ModelError: L_S does not divide L_T.
    """
    problem = depth_mismatch(student, teacher)
    if problem:
        raise ModelError(problem)
    ratio = teacher // student
    return LayerMapping(
        hidden=tuple((i, i * ratio) for i in range(student + 1)),
        attention=tuple((i, (i + 1) * ratio - 1) for i in range(student)),
    )


def describe(student: Any, teacher: Any) -> list[tuple[str, str]]:
    """Layer pairs for the console, as (name, description).

    Args:
        student: the transformers config of its model.
        teacher: likewise.

    Raises:
        ModelError: the student's depth does not divide the teacher's.
    """
    pairs = uniform_layer_mapping(student.num_hidden_layers, teacher.num_hidden_layers)
    heads = student.num_attention_heads, teacher.num_attention_heads
    averaging = "" if heads[0] == heads[1] else f"; averaged over heads first (student {heads[0]}, teacher {heads[1]})"
    widths = f"one learned projection {student.hidden_size} → {teacher.hidden_size}"
    return [
        ("hidden states", f"{_format_pairs(pairs.hidden)} (0: embeddings), through {widths}"),
        ("attention maps", f"{_format_pairs(pairs.attention)} (0: first layer){averaging}"),
    ]


def _format_pairs(pairs: Pairs) -> str:
    return ", ".join(f"{student}–{teacher}" for student, teacher in pairs)
