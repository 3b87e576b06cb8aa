"""The benchmark script at a tiny scale, both sides of every case."""

from types import ModuleType

import pytest
from torch import nn

import scripts.bench
from benchmarks import profile_steps
from benchmarks.cases.base import Side


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    module = scripts.bench
    scale = module.SCALE
    scale.vocab, scale.max_length, scale.rows, scale.batch, scale.texts = 1200, 70, 64, 4, 200
    for name in ("large", "small", "encoder"):
        setattr(scale, name, getattr(scale, name) | {"hidden_size": 24, "intermediate_size": 16})
    return module


@pytest.mark.slow
def test_both_sides_of_every_case_run(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "compile", lambda *_, **__: None)  # slow; see test_compile.py
    assert len({case.name for case in bench.CASES}) == len(bench.CASES)
    for case in bench.CASES:
        for side in ("kdrun", "reference"):
            case.make(side).run(1)


def test_the_ratio_is_reference_over_kdrun(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0, 1, 1, 3, 3, 4, 4, 10, 10, 11, 11, 15])  # kdrun 1 s a round; reference 2, 6, 4 s
    monkeypatch.setattr(bench.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(bench, "peak_of", lambda name, side: {"kdrun": 10.0, "reference": 50.0}[side])
    side = Side(lambda steps: None, steps=1)
    case = bench.Case("a", "b", lambda _: side)
    figure = bench.measure(case, rounds=2)
    assert (figure.ratio, figure.low, figure.high) == (5.0, 4.0, 6.0)
    assert (figure.kdrun_ms, figure.reference_ms) == (1000.0, 5000.0)


@pytest.mark.usefixtures("bench")
def test_a_profile_lists_the_largest_shares_first() -> None:
    shares = [share for _, share in profile_steps.shares(profile_steps.STEPS["kd step"](), steps=1)]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
