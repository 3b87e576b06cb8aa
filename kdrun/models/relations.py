"""Relations between tokens in one layer of student and teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdrun import losses
from kdrun.errors import ModelError
from kdrun.models import attention_vectors
from kdrun.models.attention_vectors import Projections

BASE_DEPTH = 12
"""Layers of a base-size teacher, whose last layer is distilled; of a deeper one it is the layer at 7/8 of its depth."""
LARGE_WIDTH, BASE_HEADS, LARGE_HEADS = 1024, 48, 64
"""Width from which a teacher is large, and relation heads of a base-size and a large teacher."""
NARROWEST_HEAD = 6
"""Least width of a relation head by default: that of the paper's students of width 384 with 64 heads."""


@dataclass(frozen=True)
class RelationPair:
    """The student's last layer and a layer of the teacher, whose relations are compared.

    Attributes:
        layers: number of the student's layer and of the teacher's, from 1.
        student: projections of the student's layer.
        teacher: projections of the teacher's layer.
        heads: A_r, the number of relation heads.
    """

    layers: tuple[int, int]
    student: Projections
    teacher: Projections
    heads: int

    def check(self, student: nn.Module, teacher: nn.Module) -> None:
        """Check on a short text that both models give one vector per token.

        Args:
            student: the projections' model, on the CPU.
            teacher: likewise.

        Raises:
            ModelError: one does not.
        """
        attention_vectors.check_projections(student, self.student, "student")
        attention_vectors.check_projections(teacher, self.teacher, "teacher")

    def divergences(
        self, models: tuple[nn.Module, nn.Module], inputs: tuple[dict[str, Tensor], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Divergences of the relations of queries, keys and values, [batch] each in nats.

        Args:
            models: student and teacher; the teacher gets no gradient.
            inputs: keyword arguments of each model, of the same tokens.
        """
        student = attention_vectors.read_vectors(models[0], inputs[0], self.student)
        with torch.no_grad():
            teacher = attention_vectors.read_vectors(models[1], inputs[1], self.teacher)
        mask = inputs[0]["attention_mask"]
        return {
            name: losses.relation_divergence(getattr(student, name), getattr(teacher, name), mask, self.heads)
            for name in ("queries", "keys", "values")
        }

    @property
    def description(self) -> str:
        """The layers and the split into relation heads, in words."""
        widths = [projections.width // self.heads for projections in (self.student, self.teacher)]
        layers = f"{self.layers[0]}–{self.layers[1]} (1: first layer)"
        return f"{layers}, in {self.heads} relation heads of {widths[0]} and {widths[1]}"


def pair_layers(
    student: Any, teacher: Any, teacher_layer: int | None, relation_heads: int | None, section: str
) -> RelationPair:
    """Pair the student's last layer with a layer of the teacher.

    Args:
        student: an encoder.
        teacher: likewise.
        teacher_layer: from 1; None for the default.
        relation_heads: A_r; None for the default.
        section: of these two settings, for messages, e.g. `method`.

    Raises:
        ModelError: a layer has no separate projections to queries, keys and values, or the heads do not fit it.
    """
    layers = student.config.num_hidden_layers, layer_of_teacher(teacher_layer, teacher.config.num_hidden_layers)
    of_student = attention_vectors.find_projections(student, layers[0], "student")
    of_teacher = attention_vectors.find_projections(teacher, layers[1], "teacher")
    heads = num_relation_heads(relation_heads, of_student.width, of_teacher.width, f"{section}.relation_heads")
    return RelationPair(layers, of_student, of_teacher, heads)


def layer_of_teacher(requested: int | None, depth: int) -> int:
    """Number of the teacher's layer, from 1: the requested one, or the paper's for this depth."""
    return requested or (depth if depth <= BASE_DEPTH else round(7 * depth / 8))


def num_relation_heads(requested: int | None, student: int, teacher: int, key: str) -> int:
    """A_r: the number asked for, or the largest up to the paper's that leaves heads wide enough.

    Args:
        requested: None for the default.
        student: width of its queries.
        teacher: likewise.
        key: of the number, for messages.

    Raises:
        ModelError: the number does not divide both widths.
    """
    common = math.gcd(student, teacher)
    fitting = [heads for heads in range(1, common + 1) if common % heads == 0]
    if requested is not None and requested not in fitting:
        raise ModelError(
            f"{key}={requested} does not divide the widths of student and teacher, {student} and {teacher}; take one "
            f"of {', '.join(map(str, fitting))}"
        )
    most = min(LARGE_HEADS if teacher >= LARGE_WIDTH else BASE_HEADS, student // NARROWEST_HEAD)
    return requested or max([1, *(heads for heads in fitting if heads <= most)])
