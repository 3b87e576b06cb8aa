"""Stages of a run: nested ones, the start of a command, runs inside runs."""

import pytest

from kdrun import stage_times


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose wall time is set; the processor time is half of it."""
    now = [0.0]
    monkeypatch.setattr(stage_times, "_now", lambda: (now[0], now[0] / 2))
    monkeypatch.setattr(stage_times, "_clock", stage_times._Clock())
    return now


def test_the_innermost_stage_gets_the_time(clock: list[float]) -> None:
    with stage_times.record() as times:
        clock[0] = 1  # in no stage
        with stage_times.stage("student's steps"):
            clock[0] = 3
            with stage_times.stage("student's evaluations"):
                clock[0] = 7
            clock[0] = 8
        assert stage_times.in_order() == {"student's steps": (3, 1.5), "student's evaluations": (4, 2)}
    assert times.in_order() == {"student's steps": (3, 1.5), "student's evaluations": (4, 2)}
    assert stage_times.in_order() == {}


def test_the_start_belongs_to_the_first_run_of_a_command(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_times.time, "perf_counter", lambda: 2.0)
    stage_times.begin_command()
    clock[0] = 5
    with stage_times.record() as first, stage_times.stage("data"):
        clock[0] = 6
        with stage_times.record() as inner, stage_times.stage("data"):
            clock[0] = 8
    assert first.in_order() == {"start": (3, 2.5), "data": (3, 1.5)}
    assert inner.in_order() == {"data": (2, 1)}


def test_outside_a_run_nothing_is_recorded(clock: list[float]) -> None:
    with stage_times.stage("data"):
        clock[0] = 1
    assert stage_times.in_order() == {}
