"""Graceful shutdown on Ctrl-C, a closed terminal, a time limit or preemption.

Signals belong to the process, so their state is global. Inside `handle_signals`, a signal raises `StopRequested`
immediately, as Ctrl-C does in any program. Inside `defer_signals`, as in training, the signal stays pending until the
next `raise_if_requested`: between two steps, where everything can be saved.

A handler that was installed before, such as the one by which submitit requeues its job, is called at the end of
`handle_signals`, when everything is saved. SIGHUP stays ignored after `nohup`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGHUP = getattr(signal, "SIGHUP", None)
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
PREEMPTION = "SUBMITIT_PREEMPT_SIGNAL"
"""Environment variable with the name of the signal by which submitit's jobs learn of their end; by default SIGUSR2."""


class StopRequested(KeyboardInterrupt):
    """A signal asked the run to stop. The exit code follows the shell convention: 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number
        name = signal.Signals(number).name
        super().__init__("stopped from the keyboard" if number == signal.SIGINT else f"stopped by {name}")


class StopEarly(StopRequested):
    """The program itself asked the run to stop, such as a search that prunes a trial."""

    def __init__(self, reason: str) -> None:
        KeyboardInterrupt.__init__(self, reason)
        self.code = 0


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Exit code of a run that an interrupt ended."""
    return interrupt.code if isinstance(interrupt, StopRequested) else 128 + signal.SIGINT


class _SignalState:
    """The pending signal and stop, the last signal received, and whether signals are handled and deferred."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.early: StopEarly | None = None
        self.received: int | None = None
        self.is_deferred = False
        self.is_handled = False
        self.send: Callable[[int], None] | None = None


_state = _SignalState()


def _on_signal(number: int, frame: FrameType | None) -> None:
    _state.received = number
    if _state.send is not None:
        _state.number = number
        _state.send(number)
        return
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
    handlers = {number: signal.getsignal(number) for number in _numbers()}
    before = {n: handler for n, handler in handlers.items() if n != SIGHUP or handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _on_signal)
    _state.is_handled, _state.received = True, None
    try:
        yield
    finally:
        _state.is_handled = False
        for number, handler in before.items():
            signal.signal(number, handler)
        _call_handler_before(before)
        raise_if_requested()  # a failing run must not swallow a request to stop


def _numbers() -> set[int]:
    """Numbers of the signals that this system has."""
    name = os.environ.get(PREEMPTION, "SIGUSR2").upper().removeprefix("SIG")
    names = {*NAMES, f"SIG{name}"}
    return {getattr(signal, name) for name in names if name in signal.Signals.__members__}


def _call_handler_before(before: dict[int, Callable[[int, FrameType | None], object] | int | None]) -> None:
    """Pass a received signal on to the handler that somebody else had installed, if there is one."""
    if _state.received is None:
        return
    handler = before[_state.received]
    if callable(handler) and handler is not signal.default_int_handler:
        handler(_state.received, None)


@contextmanager
def defer_signals(wait: bool = True) -> Iterator[None]:
    """Defer signals inside the context until `raise_if_requested`; with `wait=False`, raise them immediately again.

    A signal that is still pending at the end of the context is raised there.
    """
    before = _state.is_deferred
    _state.is_deferred = wait
    if not before:
        _state.early = None  # a request to an earlier training, which has ended for another reason
    try:
        if not wait:
            raise_if_requested()
        yield
    finally:
        _state.is_deferred = before
    if not before:
        raise_if_requested()


@contextmanager
def forward_to(send: Callable[[int], None]) -> Iterator[None]:
    """Pass signals on to other processes inside the context; the last one is raised at its end.

    Args:
        send: sends the signal of a number to the processes that stop by it.
    """
    before, _state.send = _state.send, send
    try:
        yield
    finally:
        _state.send = before
    raise_if_requested()


def pending() -> int | None:
    """Number of the pending signal; None if there is none."""
    return _state.number


def request_stop(early: StopEarly) -> None:
    """Let the next `raise_if_requested` raise this stop, unless a signal is pending there."""
    _state.early = early


def raise_if_requested() -> None:
    """Raise the pending signal or stop, if there is one.

    Raises:
        StopRequested: a signal or a stop is pending.
    """
    early, _state.early = _state.early, None
    stop(_state.number)
    if early is not None:
        raise early


def stop(number: int | None) -> None:
    """Stop by a signal that this process or another one of the run received; nothing pends afterward.

    Raises:
        StopRequested: the number is not None.
    """
    if number is not None:
        _state.number = None
        raise StopRequested(number)
