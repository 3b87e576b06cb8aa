"""How batches reach a device, without one."""

from typing import Any, cast

import pytest
import torch

from kdrun.data.transfer import reads_wait, to_device


class Recorded:
    """A tensor that records how it is copied."""

    def __init__(self, device: str) -> None:
        self.device, self.calls = torch.device(device), list[str]()

    def pin_memory(self) -> "Recorded":
        self.calls.append("pin")
        return self

    def to(self, device: torch.device, non_blocking: bool = False) -> "Recorded":
        self.calls.append(f"to {device}{', without waiting' if non_blocking else ''}")
        return self


@pytest.mark.parametrize(
    ("source", "target", "calls"),
    [
        ("cpu", "cuda", ["pin", "to cuda, without waiting"]),
        ("cpu", "cuda:1", ["pin", "to cuda:1, without waiting"]),
        ("cuda", "cuda", ["to cuda"]),
        ("cpu", "cpu", ["to cpu"]),
    ],
)
def test_only_copies_to_a_gpu_are_pinned(source: str, target: str, calls: list[str]) -> None:
    values = Recorded(source)
    to_device(cast(Any, values), torch.device(target))
    assert values.calls == calls


def test_values_stay_where_they_are_on_a_cpu() -> None:
    values = torch.ones(2)
    assert to_device(values, torch.device("cpu")) is values
    assert (reads_wait(torch.device("cpu")), reads_wait(torch.device("cuda", 0))) == (False, True)
