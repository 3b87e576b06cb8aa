"""Being asked to stop: by Ctrl-C, or by a scheduler's SIGTERM or SIGUSR1 ahead of its time limit.

Signals belong to the process, so what is known of them does too. While `listening`, a signal raises `Stopped` at once,
as Ctrl-C does in any program; while `held`, as a training holds it, it waits for the next `check`: between two steps,
where everything can be saved.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """Somebody asked the run to stop. The exit code is that of shells: 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number
        name = signal.Signals(number).name
        super().__init__("stopped from the keyboard" if number == signal.SIGINT else f"stopped by {name}")


class _Asked:
    """The signal that came, if one did, and whether it has to wait."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.waits = False
        self.is_listening = False


_asked = _Asked()


def _heard(number: int, frame: FrameType | None) -> None:
    if not _asked.waits:
        raise Stopped(number)
    if number == signal.SIGINT and _asked.number == signal.SIGINT:
        raise KeyboardInterrupt("stopped from the keyboard, twice, without saving")
    _asked.number = number


@contextmanager
def listening() -> Iterator[None]:
    """Hear the signals inside; once is enough, so that a run inside another's changes nothing."""
    if _asked.is_listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _heard) for number in SIGNALS}
    _asked.is_listening = True
    try:
        yield
    finally:
        _asked.is_listening = False
        for number, handler in before.items():
            signal.signal(number, handler)
        check()  # a run that fails while somebody asks it to stop must not swallow that


@contextmanager
def held(wait: bool = True) -> Iterator[None]:
    """Let signals wait for `check` inside, and not inside `held(False)`; whoever waited is heard at the end."""
    before = _asked.waits
    _asked.waits = wait
    try:
        if not wait:
            check()
        yield
    finally:
        _asked.waits = before
    if not before:
        check()


def check() -> None:
    """Stop here, if somebody asked for it.

    Raises:
        Stopped: somebody did.
    """
    number, _asked.number = _asked.number, None
    if number is not None:
        raise Stopped(number)
