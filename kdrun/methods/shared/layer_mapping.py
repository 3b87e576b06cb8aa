"""Which teacher layer a student layer is compared with.

Nothing here imports torch: depths that a config names are checked before anything loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdrun.config.validation.layers import depth_mismatch
from kdrun.errors import ModelError

Pairs = tuple[tuple[int, int], ...]
"""(student, teacher) each."""


@dataclass(frozen=True)
class LayerMapping:
    """What is compared with what.

    Attributes:
        hidden: numbers of hidden states; 0 is the embeddings, k the output of the k-th layer.
        attention: layers, counted from 0.
    """

    hidden: Pairs
    attention: Pairs


def uniform_layer_mapping(student: int, teacher: int) -> LayerMapping:
    """The pairs of TinyBERT (Jiao et al. 2020, arXiv 1909.10351): every r-th layer of the teacher, r = L_T / L_S.

    Student state i learns teacher state i·r for i = 0 … L_S, so the embeddings learn the embeddings and the last layer
    the last; student layer i learns the attention of teacher layer (i + 1)·r − 1.

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
    """The pairs for the screen.

    Args:
        student: the transformers config of its model.
        teacher: likewise.

    Raises:
        ModelError: the depths do not pair up.
    """
    pairs = uniform_layer_mapping(student.num_hidden_layers, teacher.num_hidden_layers)
    heads = student.num_attention_heads, teacher.num_attention_heads
    over = "" if heads[0] == heads[1] else f"; averaged over heads first (student {heads[0]}, teacher {heads[1]})"
    widths = f"one learned projection {student.hidden_size} → {teacher.hidden_size}"
    return [
        ("hidden states", f"{_shown(pairs.hidden)} (0: embeddings), through {widths}"),
        ("attention maps", f"{_shown(pairs.attention)} (0: first layer){over}"),
    ]


def _shown(pairs: Pairs) -> str:
    return ", ".join(f"{own}–{other}" for own, other in pairs)
