"""Progress of activities on a terminal and off it, with a clock that the tests set."""

import io
import re
from contextlib import suppress

import numpy as np
import pytest
from rich.console import Console as RichConsole

from kdrun import progress
from kdrun.console import Console, QuietConsole, WarningConsole


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def display(terminal: bool, console_class: type[Console] = Console) -> tuple[Console, io.StringIO, Clock]:
    text = io.StringIO()
    rich = RichConsole(file=text, width=120, force_terminal=terminal, highlight=False)
    return console_class(rich), text, Clock()


@pytest.mark.parametrize("console_class", [Console, QuietConsole])
def test_without_a_terminal_a_line_appears_every_ten_seconds(console_class: type[Console]) -> None:
    console, text, clock = display(False, console_class)
    with progress.show_on(console, clock), progress.track("student, train", 200, "steps") as activity:
        for _ in range(100):
            clock.now += 0.25
            activity.advance(details=lambda: "loss 0.5000  64 examples/s")
    assert text.getvalue().splitlines() == [
        "  student, train: 40 of 200 steps (20 %)  about 40 s left  loss 0.5000  64 examples/s",
        "  student, train: 80 of 200 steps (40 %)  about 30 s left  loss 0.5000  64 examples/s",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_console_of_q_shows_no_activity(terminal: bool) -> None:
    console, text, clock = display(terminal, WarningConsole)
    with progress.show_on(console, clock), progress.track("student, train", 200, "steps") as activity:
        for _ in range(100):
            clock.now += 0.25
            activity.advance(details=lambda: pytest.fail("details are read for nobody"))
    assert text.getvalue() == ""


def test_details_are_read_only_when_they_are_shown() -> None:
    console, _, clock = display(False)
    reads = 0

    def details() -> str:
        nonlocal reads
        reads += 1
        return ""

    with progress.show_on(console, clock), progress.track("student, train", 1000, "steps") as activity:
        for _ in range(1000):
            clock.now += 0.1
            activity.advance(details=details)
    assert reads == 9  # of 100 seconds, and never at the start


def test_a_short_activity_prints_nothing_without_a_terminal() -> None:
    console, text, clock = display(False)
    with progress.show_on(console, clock), progress.track("scoring", 10) as activity:
        clock.now += 9.9
        activity.advance(10)
    assert text.getvalue() == ""


def test_the_clock_thread_reports_an_activity_that_does_not_advance() -> None:
    console, text, clock = display(False)
    with progress.show_on(console, clock) as shown, progress.track("student, train", 10, "steps") as activity:
        clock.now += 9.5
        activity.advance()
        clock.now += 0.6
        shown.tick()  # due, but the activity advanced just now and prints the line itself
        assert text.getvalue() == ""
        clock.now += 0.6
        shown.tick()
        with progress.track("writing the report"):
            clock.now += 12
            shown.tick()
    assert text.getvalue().splitlines() == [
        "  student, train: 1 of 10 steps (10 %)  about 96 s left  0.093 steps/s",
        "  student, train: writing the report: 12 s",
    ]


def test_on_a_terminal_a_bar_appears_immediately_and_is_removed_at_the_end() -> None:
    console, text, clock = display(True)
    with (
        progress.show_on(console, clock) as shown,
        progress.track("student, train", 200, "steps") as activity,
    ):
        assert "student, train" in text.getvalue()
        assert "0 of 200 steps (0 %)" in text.getvalue()
        clock.now += 1
        activity.advance(50, lambda: "loss 0.5000")
        console.print("an evaluation")
        shown.tick()
        assert "50 of 200 steps (25 %)" in text.getvalue()
        assert "about 3.0 s left  loss 0.5000" in text.getvalue()
    assert text.getvalue().rstrip("\r").endswith("\x1b[2K\x1b[?25h")  # the bar is erased, the cursor is back


def test_a_nested_activity_has_a_bar_only_if_it_is_long() -> None:
    console, text, clock = display(True)
    with progress.show_on(console, clock) as shown, progress.track("student, train", 10, "steps"):
        for seconds, is_shown in ((0.5, False), (1.5, True)):
            with progress.track("scoring", 10) as scoring:
                clock.now += seconds
                scoring.advance(5)
                shown.tick()
            assert ("scoring" in text.getvalue()) == is_shown


def test_an_activity_that_ends_with_an_error_ends_those_inside_it() -> None:
    console, _, clock = display(False)
    with progress.show_on(console, clock) as shown:
        batches = progress.track_batches([np.arange(3)] * 2, "scoring")
        with suppress(ValueError), progress.track("student, train", 10, "steps"):
            next(batches)
            assert [activity.label for activity in shown.activities] == ["student, train", "scoring"]
            raise ValueError("broken")
        assert shown.activities == []
        with progress.track("teacher, train", 10, "steps"):
            list(batches)  # ends late, and ends nothing else
            assert [activity.label for activity in shown.activities] == ["teacher, train"]


def test_batches_are_counted_by_their_rows() -> None:
    console, text, clock = display(False)
    with progress.show_on(console, clock):
        for _ in progress.track_batches([np.arange(4), np.arange(6)], "scoring"):
            clock.now += 10
    assert text.getvalue().splitlines() == [
        "  scoring: 4 of 10 rows (40 %)  about 15 s left  0.4 rows/s",
        "  scoring: 10 of 10 rows (100 %)  about 0.0 s left  0.5 rows/s",
    ]


def test_a_context_inside_another_one_uses_the_outer_console() -> None:
    (console, text, clock), (other, other_text, _) = display(False), display(False)
    with progress.show_on(console, clock) as outer, progress.track("teacher, train", 2, "steps"):
        with progress.show_on(other) as inner:
            assert inner is outer
            with progress.track("scoring", 2) as activity:
                clock.now += 10
                activity.advance()
        assert [activity.label for activity in outer.activities] == ["teacher, train"]
    assert text.getvalue() == "  teacher, train: scoring: 1 of 2 rows (50 %)  about 10 s left  0.1 rows/s\n"
    assert other_text.getvalue() == ""


def test_a_resumed_activity_counts_the_time_of_its_own_units_only() -> None:
    console, text, clock = display(False)
    with progress.show_on(console, clock), progress.track("student, train", 200, "steps", completed=100) as activity:
        clock.now += 10
        activity.update(110, lambda: "loss 0.5000")
    assert text.getvalue() == "  student, train: 110 of 200 steps (55 %)  about 90 s left  loss 0.5000\n"


def test_without_a_display_nothing_is_shown() -> None:
    with progress.track("scoring", 10) as activity:
        activity.advance(10, lambda: pytest.fail("details are read"))
    assert activity.completed == 10


@pytest.mark.parametrize(
    ("width", "expected"), [(70, "about 30 s left"), (80, "about 30 s left  hard 0.6942"), (160, "")]
)
def test_a_narrow_terminal_shows_the_values_that_fit_and_no_part_of_one(width: int, expected: str) -> None:
    text, clock = io.StringIO(), Clock()
    console = Console(RichConsole(file=text, width=width, force_terminal=True, highlight=False))
    details = "hard 0.6942  loss 0.6942  916 examples/s"
    with progress.show_on(console, clock), progress.track("teacher, train", 40, "steps") as activity:
        for _ in range(10):
            clock.now += 1
            activity.advance(details=lambda: details)
        text.truncate(0)
        assert progress._state.display is not None
        progress._state.display.tick()
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.getvalue()).replace("\0", "").strip()
    assert "teacher, train" in shown
    assert "10 of 40 steps (25 %)" in shown
    assert "…" not in shown
    assert shown.endswith(expected or f"about 30 s left  {details}")
