"""Shapes and precision of the inputs of losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdrun.lazy import lazy_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_module("torch")


def check_same_shape(student: Tensor, teacher: Tensor, name: str) -> None:
    """Check that student and teacher have the same shape: a broadcast would compare every pair of rows.

    Args:
        student: of any shape.
        teacher: of any shape.
        name: name of the loss, for the message.

    Raises:
        ValueError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"{name}: student {list(student.shape)} and teacher {list(teacher.shape)} differ in shape")


def at_least_fp32(values: Tensor) -> Tensor:
    """Values in fp32; float64 stays as it is."""
    return values if values.dtype == torch.float64 else values.float()
