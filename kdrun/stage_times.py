"""Time of the stages of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

START, DATA, MODELS, TOKENS = "start", "data", "models", "tokenization"
TRAINING, TEACHER, SCORING = "teacher's training", "teacher's evaluation", "scoring"
STEPS, EVALUATIONS, FILES = "student's steps", "student's evaluations", "files"
PREPARATION = (START, DATA, MODELS, TOKENS)
STAGES = (*PREPARATION, TRAINING, TEACHER, SCORING, STEPS, EVALUATIONS, FILES)


class StageTimes:
    """Time of each stage of one run; of nested stages, the innermost gets the time.

    Attributes:
        seconds: wall time and processor time of all threads, by stage, in seconds.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self._open: list[str] = []
        self._last = _now()

    def _split(self) -> None:
        """Give the time since the last change to the innermost stage."""
        now = _now()
        if self._open:
            self.add(self._open[-1], (now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now

    def add(self, stage: str, seconds: tuple[float, float]) -> None:
        """Add wall time and processor time to a stage."""
        wall, cpu = self.seconds.get(stage, (0.0, 0.0))
        self.seconds[stage] = (wall + seconds[0], cpu + seconds[1])

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the context as that of a stage."""
        self._split()
        self._open.append(name)
        try:
            yield
        finally:
            self._split()
            self._open.pop()

    def in_order(self) -> dict[str, tuple[float, float]]:
        """The stages so far in the order of a run."""
        self._split()
        return {name: self.seconds[name] for name in STAGES if name in self.seconds}


class _Clock:
    """The run in progress, and the beginning of the command if no run has begun since."""

    times: StageTimes | None = None
    command_began: float | None = None


_clock = _Clock()


def _now() -> tuple[float, float]:
    """Wall time since any moment, and processor time of this process since its start, in seconds."""
    return time.perf_counter(), time.process_time()


def begin_command() -> None:
    """Count the time from now, and the processor time so far, as the start of the next run of this process."""
    _clock.command_began = time.perf_counter()


@contextmanager
def record() -> Iterator[StageTimes]:
    """Record the stages of a run; a run inside another one has separate times."""
    outer, times = _clock.times, StageTimes()
    if _clock.command_began is not None:
        wall, cpu = _now()
        times.add(START, (wall - _clock.command_began, cpu))
        _clock.command_began = None
    _clock.times = times
    try:
        yield times
    finally:
        _clock.times = outer


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time inside the context as that of a stage of the run in progress, if there is one."""
    if _clock.times is None:
        yield
        return
    with _clock.times.stage(name):
        yield


def in_order() -> dict[str, tuple[float, float]]:
    """Wall time and processor time of the stages of the run in progress, in order; empty without one."""
    return _clock.times.in_order() if _clock.times is not None else {}
