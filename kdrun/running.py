"""Running sums of a training, on the device until they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Tally:
    """Running sums of one role's steps since its last record."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    last: dict[str, Any] = field(default_factory=dict)

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add sums over the examples of a step."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()

    def means(self) -> dict[str, float]:
        """Of each sum, by example."""
        return {name: float(value) / self.count for name, value in self.sums.items()}
