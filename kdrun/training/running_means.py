"""Means of losses and metrics between two log records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from kdrun import ranks


@dataclass
class RunningMeans:
    """Running sums of one role's steps since its last record."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    last: dict[str, Any] = field(default_factory=dict)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the sums of a micro-batch over its examples."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()

    def of_all_processes(self) -> RunningMeans:
        """Sums and counts of all processes; each process adds only its own micro-batches."""
        if ranks.size() == 1:
            return self
        parts = ranks.gather(({name: float(value) for name, value in self.sums.items()}, self.count))
        names = dict.fromkeys(name for sums, _ in parts for name in sums)
        sums = {name: torch.tensor(sum(sums.get(name, 0.0) for sums, _ in parts)) for name in names}
        return replace(self, sums=sums, count=sum(count for _, count in parts))

    def means(self) -> dict[str, float]:
        """Mean of each sum over the examples."""
        return {name: float(value) / self.count for name, value in self.sums.items()}

    def last_values(self) -> dict[str, Any]:
        """Facts of the last step as plain data; a number that a GPU still computes is waited for."""
        return {name: float(value) if isinstance(value, Tensor) else value for name, value in self.last.items()}

    def record(self) -> dict[str, Any]:
        """The means with role, learning rate, gradient norm and speed."""
        speed = self.count / self.seconds if self.seconds else None
        return {**self.last_values(), **self.means(), "examples_per_s": speed}
