"""A batch of examples on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class StepPosition:
    """Position of a micro-batch among those of its role in a phase.

    Attributes:
        step: optimizer step of the role, from 0.
        index: number of the micro-batch in this step, from 0.
        num_steps: steps of the role in the phase.
        load: loads the micro-batch of another step and index of the same role. A step with fewer micro-batches starts
            over with its first.
    """

    step: int
    index: int
    num_steps: int
    load: Callable[[int, int], Batch]


@dataclass
class Batch:
    """Examples on the device of the models.

    Attributes:
        ids: row numbers in the training split, [batch].
        inputs: per role, the arguments of its model (`input_ids`, …), [batch, length] each. In a task that is answered
            with text also `decoder_input_ids`, [batch, answer length].
        labels: class indices [batch] (int64), label sets [batch, classes] (float32, 0 or 1), scores [batch] (float32),
            or the token ids of a text answer, [batch, answer length], −100 behind its end; None for a method that
            needs none.
        teacher_logits: the teacher's logits on the same text, [batch, outputs], if the method needs them; in a task
            that is answered with text those of every token, [batch, answer length, vocabulary], NaN behind the end.
        phase: name of the role's random streams in this phase, an argument of `kdrun.rng.stream`.
        step: number of the role's micro-batch in the phase, likewise.
        progress: fraction of its steps in the phase that the role has taken, from 0 to 1.
        extras: further values per example by name, [batch, …] each: numbers in float32, indices in int64.
        tokenization: role → first role with the same tokens. A role without an entry shares its tokens with none.
        teacher_states: reads the teacher's cached `hidden_states` and `attentions` on this text, if there are any.
        position: place of the micro-batch in the training; None outside of a training step.
    """

    ids: Tensor
    inputs: dict[str, dict[str, Tensor]]
    labels: Tensor | None = None
    teacher_logits: Tensor | None = None
    phase: str = ""
    step: int = 0
    progress: float = 0.0
    extras: dict[str, Tensor] = field(default_factory=dict)
    tokenization: Mapping[str, str] = field(default_factory=dict)
    teacher_states: Callable[[], Any] | None = None
    position: StepPosition | None = None


class TeacherStates(Protocol):
    """Cached hidden states and attention maps of the teacher, read by row."""

    def batch(self, rows: np.ndarray, device: torch.device) -> Any:
        """`hidden_states` and `attentions` of these rows on the device."""
        ...


class BatchSource(Protocol):
    """Training rows that the trainer draws batches from.

    Attributes:
        num_rows: number of rows.
    """

    num_rows: int

    @property
    def rows_seen(self) -> np.ndarray:
        """Which rows have been part of a batch, [rows] bool."""
        ...

    def epoch_batches(self, batch_size: int, seed: int, phase: str, epoch: int) -> list[np.ndarray]:
        """Row numbers of each micro-batch of an epoch; a function of its arguments and the rows."""
        ...

    def load_batch(self, rows: np.ndarray, phase: str, step: int) -> Batch:
        """The batch of the given rows."""
        ...

    def load_state(self, rows_seen: np.ndarray) -> None:
        """Set which rows have been part of a batch, when a training resumes."""
        ...


class TokenLogits(Protocol):
    """Cached logits of the teacher at every token of the answers, read by row."""

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """The logits of these rows on the device, NaN behind an answer's end: [batch, answer length, vocabulary]."""
        ...
