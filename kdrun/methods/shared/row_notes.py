"""Values that a step notes per row, gathered from all processes.

It imports without torch, like `kdrun.methods.base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kdrun import ranks
from kdrun.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
else:
    np, torch = lazy_module("numpy"), lazy_module("torch")


class RowNotes:
    """Values by training row, from the micro-batches of one step."""

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []

    def add(self, rows: Tensor, values: Mapping[str, Tensor]) -> None:
        """Note values of the rows of a micro-batch.

        Args:
            rows: numbers of the rows, [batch].
            values: by name, [batch, ...].
        """
        self._parts.append((rows.cpu().numpy(), {name: value.detach().cpu().numpy() for name, value in values.items()}))

    def take(self) -> tuple[Tensor, dict[str, Tensor]] | None:
        """The rows that all processes noted, each once, with their values, on the CPU; None without any.

        Called in every process after a step. The notes are then forgotten.
        """
        parts = [part for noted in ranks.gather(self._parts) for part in noted]
        self.discard()
        if not parts:
            return None
        # a process that repeats a micro-batch, to compute as many as the others, notes the same rows again
        rows, first = np.unique(np.concatenate([part_rows for part_rows, _ in parts]), return_index=True)
        columns = {name: np.concatenate([values[name] for _, values in parts])[first] for name in parts[0][1]}
        return torch.from_numpy(rows), {name: torch.from_numpy(column) for name, column in columns.items()}

    def discard(self) -> None:
        """Forget the notes."""
        self._parts = []
