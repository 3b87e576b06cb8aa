"""Report long activities: bars on a terminal, lines elsewhere.

An activity opens where its work is done (`track`), in any room. `show_on` decides where the activities of a whole
command appear; outside it they are not shown. Activities nest: scoring happens inside a training.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from kdrun.console import Console
from kdrun.formatting import duration

LINE_SECONDS = 10.0
"""Seconds between two lines without a terminal."""
SILENCE_SECONDS = 1.0
"""Seconds without an advance after which the clock thread prints the line that is due."""
DETAIL_SECONDS = 0.5
"""Seconds between two readings of an activity's details on a terminal: reading a loss waits for the device."""
NESTED_SECONDS = 1.0
"""Seconds after which an activity inside another one gets a bar of its own; shorter ones would only flicker."""
BAR_WIDTH, NARROW_BAR_WIDTH, NARROW = 20, 10, 100
"""Width of a bar, and its width on terminals with fewer columns than `NARROW`."""

Details = Callable[[], str]
"""Returns further values of an activity, such as its losses; called only when they are shown."""
T = TypeVar("T", bound=Sized)


class Activity:
    """A long activity.

    Attributes:
        label: name of the activity.
        total: number of units in all; None if unknown.
        unit: name of its units in the plural.
        completed: number of units so far.
        details: further values, as last read.
    """

    def __init__(
        self, display: ProgressDisplay | None, label: str, total: int | None, unit: str, completed: int
    ) -> None:
        self.label, self.total, self.unit, self.completed, self.details = label, total, unit, completed, ""
        self._display, self._first = display, completed
        self.started = self.advanced = self.details_read = display.clock() if display else 0.0
        self.bar: TaskID | None = None

    def advance(self, amount: int = 1, details: Details | None = None) -> None:
        """Count units as completed."""
        self.update(self.completed + amount, details)

    def update(self, completed: int, details: Details | None = None) -> None:
        """Set the number of completed units."""
        self.completed = completed
        if self._display is not None:
            self._display.advance(self, details)

    def progress_text(self) -> str:
        """Completed units of all units: `340 of 1200 steps (28 %)`; of an unknown total `340 steps`, or nothing."""
        if not self.total:
            return f"{self.completed} {self.unit}" if self.completed else ""
        return f"{self.completed} of {self.total} {self.unit} ({self.completed / self.total:.0%})".replace("%", " %")

    def values_text(self, now: float) -> str:
        """The time left, and details or rate; of an unknown total, the time so far."""
        seconds, done = now - self.started, self.completed - self._first
        if not self.total:
            return duration(seconds)
        speed = done / seconds if seconds else 0.0
        rate = f"{speed:.0f} {self.unit}/s" if speed >= 10 else f"{speed:.2g} {self.unit}/s" if speed else ""
        left = f"about {duration(seconds / done * (self.total - self.completed))} left" if done else ""
        return "  ".join(part for part in (left, self.details or rate) if part)


class _ElapsedColumn(TimeElapsedColumn):
    """Time so far of an activity with an unknown total; others show the time left."""

    def render(self, task: Task) -> Text:
        """The text of a bar."""
        return super().render(task) if task.total is None else Text()


class ProgressDisplay:
    """Shows the open activities on a console.

    Args:
        console: where to show them.
        clock: seconds since any moment.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock = console, clock
        self.activities: list[Activity] = []
        self._bars: Progress | None = None
        self._last_line = clock()
        self._lock = threading.RLock()

    def open(self, label: str, total: int | None, unit: str, completed: int) -> Activity:
        """Begin an activity inside those that are open."""
        with self._lock:
            activity = Activity(self, label, total, unit, completed)
            self.activities.append(activity)
            if len(self.activities) == 1:
                self._show_bar(activity)
            return activity

    def close(self, activity: Activity) -> None:
        """End an activity and those inside it; nothing happens if it has already ended."""
        with self._lock:
            if activity in self.activities:
                self.close_from(self.activities.index(activity))

    def close_from(self, number: int) -> None:
        """End all activities but the first `number`."""
        with self._lock:
            ended, self.activities = self.activities[number:], self.activities[:number]
            for bar in (activity.bar for activity in ended if activity.bar is not None):
                if self._bars is not None:
                    self._bars.remove_task(bar)
            if not self.activities and self._bars is not None:
                self._bars.stop()
                self._bars = None

    def advance(self, activity: Activity, details: Details | None) -> None:
        """Show an activity that has advanced, if it is time to."""
        now = activity.advanced = self.clock()
        is_terminal = self.console.rich.is_terminal
        is_due = now - (activity.details_read if is_terminal else self._last_line) >= (
            DETAIL_SECONDS if is_terminal else LINE_SECONDS
        )
        if is_due:
            activity.details, activity.details_read = details() if details else "", now
        with self._lock:
            if is_terminal:
                self._update_bar(activity, now)
            elif is_due:
                self._print_line(activity, now)

    def tick(self) -> None:
        """Draw the bars, or print the line that is due if no activity advances; called about once per second."""
        with self._lock:
            now = self.clock()
            if self._bars is not None:
                self._bars.refresh()
            if not self.activities or self.console.rich.is_terminal or now - self._last_line < LINE_SECONDS:
                return
            activity = self.activities[-1]
            if now - activity.advanced >= SILENCE_SECONDS:
                self._print_line(activity, now)

    def _print_line(self, activity: Activity, now: float) -> None:
        self._last_line = now
        place = self.activities.index(activity) if activity in self.activities else 0
        label = ": ".join([outer.label for outer in self.activities[:place]] + [activity.label])
        text = "  ".join(part for part in (activity.progress_text(), activity.values_text(now)) if part)
        self.console.progress(f"  {label}: {text}")

    def _show_bar(self, activity: Activity) -> None:
        if not self.console.rich.is_terminal:
            return
        if self._bars is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(self._bar_width()),
                TextColumn("{task.fields[progress]}", markup=False),
                _ElapsedColumn(),
                TextColumn("{task.fields[values]}", markup=False),
            )
            self._bars = Progress(*columns, console=self.console.rich, transient=True)
            self._bars.start()
        activity.bar = self._bars.add_task(
            activity.label,
            total=activity.total,
            completed=activity.completed,
            progress=activity.progress_text(),
            values="",
        )

    def _update_bar(self, activity: Activity, now: float) -> None:
        if activity.bar is None and activity in self.activities and now - activity.started >= NESTED_SECONDS:
            self._show_bar(activity)
        if activity.bar is None or self._bars is None:
            return
        self._bars.update(
            activity.bar,
            completed=activity.completed,
            progress=activity.progress_text(),
            values=self._fitting(activity.values_text(now)) if activity.total else "",
        )

    def _bar_width(self) -> int:
        return BAR_WIDTH if self.console.rich.width >= NARROW else NARROW_BAR_WIDTH

    def _fitting(self, values: str) -> str:
        """The first of the values that fit into a row behind label, bar and counts; the time left comes first."""
        label = max(len(activity.label) for activity in self.activities)
        counts = max(len(activity.progress_text()) for activity in self.activities)
        elapsed = 0 if all(activity.total for activity in self.activities) else len("0:00:00")
        room = self.console.rich.width - label - self._bar_width() - counts - elapsed - 4  # blanks between the columns
        parts = values.split("  ")
        while parts and len("  ".join(parts)) > room:
            parts.pop()
        return "  ".join(parts)


class _ProgressState:
    """The display of the command in progress."""

    display: ProgressDisplay | None = None


_state = _ProgressState()


@contextmanager
def show_on(console: Console, clock: Callable[[], float] = time.monotonic) -> Iterator[ProgressDisplay]:
    """Show the activities inside the context on a console, unless it shows none.

    A context inside another one uses the outer console.
    """
    if _state.display is not None:
        display, number = _state.display, len(_state.display.activities)
        try:
            yield display
        finally:
            display.close_from(number)
        return
    display, stop = ProgressDisplay(console, clock), threading.Event()
    if not console.shows_progress:
        yield display
        return
    thread = threading.Thread(target=_tick, args=(display, stop), name="kdrun-progress", daemon=True)
    if not console.rich.is_terminal:  # on a terminal rich has such a thread
        thread.start()
    _state.display = display
    try:
        yield display
    finally:
        _state.display = None
        stop.set()
        display.close_from(0)


def _tick(display: ProgressDisplay, stop: threading.Event) -> None:
    while not stop.wait(SILENCE_SECONDS):
        display.tick()


@contextmanager
def track(label: str, total: int | None = None, unit: str = "rows", completed: int = 0) -> Iterator[Activity]:
    """Show an activity while the context is open.

    Args:
        label: name of the activity.
        total: number of units in all; None if unknown.
        unit: name of the units in the plural.
        completed: number of units that an earlier process completed.
    """
    display = _state.display
    if display is None:
        yield Activity(None, label, total, unit, completed)
        return
    activity = display.open(label, total, unit, completed)
    try:
        yield activity
    finally:
        display.close(activity)


def track_batches(batches: Sequence[T], label: str) -> Iterator[T]:
    """Yield batches of rows, and count their rows as completed."""
    with track(label, sum(map(len, batches))) as activity:
        for batch in batches:
            yield batch
            activity.advance(len(batch))
