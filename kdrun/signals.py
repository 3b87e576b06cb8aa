"""Graceful shutdown on SIGINT, SIGTERM and SIGUSR1.

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


class StopRequested(KeyboardInterrupt):
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


_pending = _Asked()


def _on_signal(number: int, frame: FrameType | None) -> None:
    if not _pending.waits:
        raise StopRequested(number)
    if number == signal.SIGINT and _pending.number == signal.SIGINT:
        raise KeyboardInterrupt("stopped from the keyboard, twice, without saving")
    _pending.number = number


@contextmanager
def handle_signals() -> Iterator[None]:
    """Hear the signals inside; once is enough, so that a run inside another's changes nothing."""
    if _pending.is_listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    _pending.is_listening = True
    try:
        yield
    finally:
        _pending.is_listening = False
        for number, handler in before.items():
            signal.signal(number, handler)
        raise_if_requested()  # a run that fails while somebody asks it to stop must not swallow that


@contextmanager
def defer_signals(wait: bool = True) -> Iterator[None]:
    """Let signals wait for `check` inside, and not inside `held(False)`; whoever waited is heard at the end."""
    before = _pending.waits
    _pending.waits = wait
    try:
        if not wait:
            raise_if_requested()
        yield
    finally:
        _pending.waits = before
    if not before:
        raise_if_requested()


def raise_if_requested() -> None:
    """Stop here, if somebody asked for it.

    Raises:
        Stopped: somebody did.
    """
    number, _pending.number = _pending.number, None
    if number is not None:
        raise StopRequested(number)
