"""Optimizer, schedule and budget sections."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting


@dataclass
class OptimizerConfig:
    """An optimizer and its schedule, for a role whose budget and batches are given elsewhere."""

    name: str = setting("adamw", "registered optimizer")
    lr: float = setting(5e-4, "peak learning rate", gt=0)
    weight_decay: float = setting(0.01, "decoupled weight decay; not on biases and norms", ge=0)
    beta1: float = setting(0.9, "decay of the first moment", ge=0, lt=1)
    beta2: float = setting(0.999, "decay of the second moment", ge=0, lt=1)
    eps: float = setting(1e-8, "term added to the denominator", gt=0)
    schedule: str = setting("linear", "registered schedule: linear, cosine or constant")
    warmup_ratio: float = setting(0.1, "fraction of the role's steps spent warming up", ge=0, lt=1)
    warmup_steps: int | None = setting(None, "warm-up as a number of steps; wins over the ratio", ge=0)
    max_grad_norm: float = setting(1.0, "largest gradient norm; 0 turns clipping off", ge=0)


@dataclass
class OptimConfig(OptimizerConfig):
    """An optimizer, its schedule and its budget; used for the student and for fine-tuning a teacher."""

    epochs: float = setting(3.0, "passes over the training rows", gt=0)
    steps: int | None = setting(None, "optimizer steps; wins over epochs", gt=0)
    batch_size: int = setting(32, "examples per micro-batch", gt=0)
    gradient_accumulation_steps: int = setting(1, "micro-batches per optimizer step", gt=0)
    patience: int | None = setting(
        None,
        "early stopping: end a phase after this many evaluations without a better headline score; null never",
        gt=0,
    )
