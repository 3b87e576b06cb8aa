"""Measured rates of the machine, and the number of threads."""

import os
from pathlib import Path

import pytest
import torch

from kdrun.training import accelerator, machine_speed

CPU = torch.device("cpu")


def test_rates_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path))
    for name, value in (("BUDGET", 0.01), ("SIZES", (64, 128)), ("DISK_BYTES", 2**16), ("MEMORY_BYTES", 2**16)):
        monkeypatch.setattr(machine_speed, name, value)
    speed = machine_speed.machine_speed(CPU)
    assert all(rate > 1000 for rate in vars(speed).values())
    monkeypatch.setattr(machine_speed, "measure", lambda *_: pytest.fail("measured again"))
    assert machine_speed.machine_speed(CPU) == speed


def test_larger_matrices_are_left_out_where_small_ones_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def slow(work: object, device: torch.device, budget: float) -> float:
        sizes.append(len(sizes))
        return 10.0

    monkeypatch.setattr(machine_speed, "_fastest", slow)
    assert machine_speed.matrix_rate(torch.float32, CPU) == 2 * machine_speed.SIZES[0] ** 3 / 10
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("threads", "cores", "variable", "expected"),
    [(None, 2, None, 2), (None, 9, None, 4), (None, 2, "4", None), (3, 1, None, 3), (4, 1, None, None)],
)
def test_threads_are_set_only_where_they_differ(
    threads: int | None, cores: int, variable: str | None, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    monkeypatch.setattr(accelerator.processor, "usable_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", variable)
    accelerator.set_threads(threads)
    assert calls == ([] if expected in (None, 4) else [expected])
