"""Distillation methods: one module per method."""

from __future__ import annotations

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.generation.types import GeneratedText
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.registry import register

__all__ = [
    "Batch",
    "GeneratedText",
    "Method",
    "MethodContext",
    "Phase",
    "Requirements",
    "StepOutput",
    "Turn",
    "register",
    "setting",
]
