"""Memory banks of embeddings by training row, equal in all processes.

It imports without torch, like `kdrun.methods.base`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kdrun import rng
from kdrun.data.transfer import to_device
from kdrun.lazy import lazy_module
from kdrun.methods.shared.row_notes import RowNotes

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch, F = lazy_module("torch"), lazy_module("torch.nn.functional")

ROLES = ("student", "teacher")
UNKNOWN = -1
"""Class of a row that was not seen, or has no label."""
MEASURED_ENTRIES, DIRECTIONS = 4096, 64
"""Entries and random directions that the mean score is measured on, at most."""


class MemoryBank:
    """Embeddings of each training row by student and teacher, and its class.

    A bank begins with random entries, whose mean square length is 1, and changes only between two steps (`update`). A
    step thus reads the same entries in every micro-batch and in every process.

    Args:
        num_rows: number of training rows.
        size: width of an embedding.
        momentum: share of the old entry in a new one.
        seed: decides the first entries.

    Attributes:
        entries: by role, [rows, size].
        classes: class of each row, [rows]; negative where it is not known.
    """

    def __init__(self, num_rows: int, size: int, momentum: float, seed: int) -> None:
        self.momentum, bound = momentum, math.sqrt(3 / size)
        self.entries: dict[str, Tensor] = {}
        for role in ROLES:
            stream = rng.stream(seed, "memory bank", role)
            self.entries[role] = torch.empty(num_rows, size).uniform_(-bound, bound, generator=stream)
        self.classes = torch.full((num_rows,), UNKNOWN)
        self._notes = RowNotes()

    def to(self, device: torch.device) -> None:
        """Move the banks to a device."""
        self.entries = {role: entries.to(device) for role, entries in self.entries.items()}
        self.classes = self.classes.to(device)

    def log_mean_score(self, temperature: float, seed: int) -> float:
        """Logarithm of the mean of exp(u · b/τ) over the first entries b of a bank and random directions u.

        Args:
            temperature: τ.
            seed: decides the directions.
        """
        entries = self.entries["teacher"][:MEASURED_ENTRIES].double()
        directions = torch.randn(DIRECTIONS, entries.shape[1], generator=rng.stream(seed, "memory bank", "directions"))
        scores = entries @ F.normalize(directions.double(), dim=-1).T / temperature
        return float(scores.flatten().logsumexp(dim=0)) - math.log(scores.numel())

    def draw(self, count: int, seed: int, phase: str, step: int) -> Tensor:
        """Rows to contrast with, without repetition, at most all: [min(count, rows)]; the same for all rows of a step.

        Args:
            count: number of rows.
            seed: of the run.
            phase: name of the random streams of the phase.
            step: optimizer step in the phase.
        """
        total = len(self.classes)
        if count >= total:
            return torch.arange(total, device=self.classes.device)
        stream = rng.numpy_stream(seed, "negatives", phase, step)
        drawn = stream.choice(total, size=count, replace=False, shuffle=False)
        return to_device(torch.from_numpy(drawn), self.classes.device)

    def allowed(self, rows: Tensor, classes: Tensor | None, drawn: Tensor) -> Tensor:
        """Which drawn rows are negatives of each row, [batch, drawn]: other rows, and of another class if these count.

        Args:
            rows: numbers of the rows, [batch].
            classes: of these rows, [batch], negative where one is unknown; None if classes do not count.
            drawn: numbers of the rows to contrast with, [drawn].
        """
        others = to_device(rows, drawn.device)[:, None] != drawn
        if classes is None:
            return others
        return others & ((classes[:, None] != self.classes[drawn]) | (classes[:, None] < 0))

    def remember(self, rows: Tensor, embedded: Mapping[str, Tensor], classes: Tensor | None) -> None:
        """Note the embeddings of a micro-batch for the next update.

        Args:
            rows: numbers of the rows, [batch].
            embedded: their embeddings by role, [batch, size].
            classes: of these rows, [batch]; None if classes do not count.
        """
        if classes is None:
            classes = torch.full_like(rows, UNKNOWN)
        self._notes.add(rows, {"classes": classes, **{role: embedded[role] for role in ROLES}})

    def update(self) -> None:
        """Enter the noted rows of all processes: the normalized mean of the old and the new embedding."""
        if (noted := self._notes.take()) is None:
            return
        index, values = to_device(noted[0], self.classes.device), noted[1]
        for role, entries in self.entries.items():
            new = values[role].to(entries.device)
            entries[index] = F.normalize(self.momentum * entries[index] + (1 - self.momentum) * new, dim=-1)
        self.classes[index] = values["classes"].to(index.device)

    def discard(self) -> None:
        """Forget the noted rows."""
        self._notes.discard()

    def state(self) -> dict[str, Tensor]:
        """The banks and the classes, for checkpoints."""
        return {f"bank_{role}": entries for role, entries in self.entries.items()} | {"bank_classes": self.classes}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: a bank of another number of rows or another width.
        """
        for name, current in self.state().items():
            if state[name].shape != current.shape:
                shapes = f"{list(state[name].shape)}, and this run's {list(current.shape)}"
                raise ValueError(f"{name} of the checkpoint is {shapes}")
            current.copy_(state[name])
