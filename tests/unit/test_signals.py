"""Signals: immediate, or deferred to the next step."""

import os
import signal
from collections.abc import Iterator

import pytest

from kdrun import signals


@pytest.fixture(autouse=True)
def _default_handlers() -> Iterator[None]:
    """The handlers of a process in the foreground, whoever runs the tests: `nohup` and `&` ignore some signals."""
    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def break_off(number: int = 0) -> None:
    """What can be broken off, with a signal in the middle of it or before."""
    with signals.defer_signals(False):
        if number:
            send(number)
        pytest.fail("no handler raised")


def fail_after(number: int) -> None:
    """A training that is asked to stop and fails before it can."""
    with signals.handle_signals(), signals.defer_signals():
        send(number)
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (signal.SIGINT, 130, "stopped from the keyboard"),
        (signal.SIGTERM, 143, "stopped by SIGTERM"),
        (signal.SIGHUP, 129, "stopped by SIGHUP"),
        (signal.SIGUSR1, 138, "stopped by SIGUSR1"),
        (signal.SIGUSR2, 140, "stopped by SIGUSR2"),
    ],
)
def test_a_signal_stops_at_once_and_the_exit_code_is_the_shells(number: int, code: int, text: str) -> None:
    before = signal.getsignal(number)
    with pytest.raises(signals.StopRequested, match=text) as stop, signals.handle_signals():
        send(number)
    assert stop.value.code == code
    assert isinstance(stop.value, KeyboardInterrupt)
    assert signal.getsignal(number) is before


def test_a_held_signal_waits_for_the_check() -> None:
    with signals.handle_signals(), signals.defer_signals():
        send(signal.SIGTERM)
        with pytest.raises(signals.StopRequested):
            signals.raise_if_requested()
        signals.raise_if_requested()  # heard once


def test_a_held_signal_is_heard_where_nothing_can_break() -> None:
    with signals.handle_signals(), signals.defer_signals():
        send(signal.SIGTERM)
        with pytest.raises(signals.StopRequested):
            break_off()
        with pytest.raises(signals.StopRequested):
            break_off(signal.SIGUSR1)
        send(signal.SIGUSR1)
        with pytest.raises(signals.StopRequested):
            signals.raise_if_requested()


def test_a_held_signal_is_heard_at_the_end_at_the_latest() -> None:
    with pytest.raises(signals.StopRequested), signals.handle_signals(), signals.defer_signals():
        send(signal.SIGTERM)


def test_a_second_control_c_does_not_wait() -> None:
    with signals.handle_signals(), signals.defer_signals():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="twice") as stop:
            send(signal.SIGINT)
        assert not isinstance(stop.value, signals.StopRequested)
        with pytest.raises(signals.StopRequested):
            signals.raise_if_requested()


def test_a_failure_does_not_swallow_the_wish_to_stop() -> None:
    with pytest.raises(signals.StopRequested) as stop:
        fail_after(signal.SIGTERM)
    assert isinstance(stop.value.__context__, RuntimeError)


def test_a_run_inside_another_listens_with_it() -> None:
    with signals.handle_signals():
        outer_handler = signal.getsignal(signal.SIGTERM)
        with signals.handle_signals():
            assert signal.getsignal(signal.SIGTERM) is outer_handler
        assert signal.getsignal(signal.SIGTERM) is outer_handler


@pytest.fixture
def earlier_calls() -> Iterator[list[int]]:
    """Signals that reach a handler which somebody else installed before, as submitit does."""
    calls: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGUSR2, before)


def test_the_earlier_handler_is_called_when_everything_is_saved(earlier_calls: list[int]) -> None:
    with signals.handle_signals():
        with pytest.raises(signals.StopRequested), signals.defer_signals():
            send(signal.SIGUSR2)
        assert earlier_calls == []
    assert earlier_calls == [signal.SIGUSR2]


def test_the_earlier_handler_is_not_called_without_its_signal(earlier_calls: list[int]) -> None:
    with pytest.raises(signals.StopRequested), signals.handle_signals():
        send(signal.SIGTERM)
    assert earlier_calls == []


def test_submitits_own_choice_of_a_signal_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signals.PREEMPTION, "XCPU")
    with pytest.raises(signals.StopRequested), signals.handle_signals():
        send(signal.SIGXCPU)


def test_after_nohup_a_closed_terminal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handle_signals():
            send(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_of_the_program_waits_for_the_check_and_a_signal_wins() -> None:
    with signals.handle_signals(), signals.defer_signals():
        signals.request_stop(signals.StopEarly("enough"))
        with pytest.raises(signals.StopEarly, match="enough"):
            signals.raise_if_requested()
        signals.raise_if_requested()
        signals.request_stop(signals.StopEarly("enough"))
        send(signal.SIGTERM)
        with pytest.raises(signals.StopRequested, match="SIGTERM"):
            signals.raise_if_requested()
        signals.raise_if_requested()
        signals.request_stop(signals.StopEarly("too late"))
        with pytest.raises(signals.StopEarly):
            signals.raise_if_requested()


def test_a_stop_does_not_reach_the_next_training() -> None:
    signals.request_stop(signals.StopEarly("of a training that failed first"))
    with signals.handle_signals(), signals.defer_signals():
        signals.raise_if_requested()
