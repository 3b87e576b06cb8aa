"""Graceful shutdown on SIGINT, SIGTERM and SIGUSR1.

Signals belong to the process, so their state is global. Inside `handle_signals`, a signal raises `StopRequested`
immediately, as Ctrl-C does in any program. Inside `defer_signals`, as in training, the signal stays pending until the
next `raise_if_requested`: between two steps, where everything can be saved.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class StopRequested(KeyboardInterrupt):
    """A signal asked the run to stop. The exit code follows the shell convention: 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number
        name = signal.Signals(number).name
        super().__init__("stopped from the keyboard" if number == signal.SIGINT else f"stopped by {name}")


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Exit code of a run that an interrupt ended."""
    return interrupt.code if isinstance(interrupt, StopRequested) else 128 + signal.SIGINT


class _SignalState:
    """The pending signal, if any, and whether signals are handled and deferred."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_deferred = False
        self.is_handled = False


_state = _SignalState()


def _on_signal(number: int, frame: FrameType | None) -> None:
    if not _state.is_deferred:
        raise StopRequested(number)
    if number == signal.SIGINT and _state.number == signal.SIGINT:
        raise KeyboardInterrupt("stopped from the keyboard, twice, without saving")
    _state.number = number


@contextmanager
def handle_signals() -> Iterator[None]:
    """Handle signals inside the context; a nested context changes nothing."""
    if _state.is_handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    _state.is_handled = True
    try:
        yield
    finally:
        _state.is_handled = False
        for number, handler in before.items():
            signal.signal(number, handler)
        raise_if_requested()  # a failing run must not swallow a request to stop


@contextmanager
def defer_signals(wait: bool = True) -> Iterator[None]:
    """Defer signals inside the context until `raise_if_requested`; with `wait=False`, raise them immediately again.

    A signal that is still pending at the end of the context is raised there.
    """
    before = _state.is_deferred
    _state.is_deferred = wait
    try:
        if not wait:
            raise_if_requested()
        yield
    finally:
        _state.is_deferred = before
    if not before:
        raise_if_requested()


def raise_if_requested() -> None:
    """Raise the pending signal, if there is one.

    Raises:
        StopRequested: a signal is pending.
    """
    number, _state.number = _state.number, None
    if number is not None:
        raise StopRequested(number)
