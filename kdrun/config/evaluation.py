"""Evaluation section: labeled rows besides the task's own."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting


@dataclass
class EvaluationConfig:
    """What the finished models are scored on besides the task's dev splits."""

    extra: list[str] = setting(
        [], "names of further labeled splits (task.extra): scored at the end, and never trained on or chosen by"
    )
