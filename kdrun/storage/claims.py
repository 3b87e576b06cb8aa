"""Exclusive claims that hold between machines on one shared disk.

File locks (flock) have no effect on many network file systems. A claim needs only that a file is created exclusively
(`O_EXCL`), which NFS, Lustre and GPFS guarantee. The claims on a thing are numbered files in its lock folder:
`7.held.lock` names its holder, `7.free.lock` is released. The highest number counts, so the next holder creates `8`.

A holder gives a sign of life every `INTERVAL` seconds: it sets the modification time of its file. A holder on this
machine is dead if its process no longer exists. A holder on another machine is dead if its last sign of life is
`DEAD_AFTER` intervals old by the clock of the disk (the modification time of a new file next to it), and if it gives
none for two more intervals. The clocks of the machines are not compared. Of all processes that find a dead holder, one
creates the next number, so a claim is taken over once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kdrun.errors import ClaimLostError
from kdrun.storage import claim_files
from kdrun.storage.processes import is_alive, is_this_machine, machine_facts, process_facts

INTERVAL = 20.0
"""Seconds between two signs of life."""
DEAD_AFTER = 9
"""Intervals without a sign of life after which a holder on another machine counts as dead."""
LONGEST_PAUSE = 0.5
"""Seconds between two attempts, at most."""
log = logging.getLogger(__name__)


class HeldError(Exception):
    """Another process holds the claim."""


class Claim:
    """The exclusive right to a thing, such as the folder of a run.

    Args:
        folder: lock folder of the thing; created when needed, best named `<thing>.lock`.
        beats: whether the holder gives signs of life; without them it must release within `DEAD_AFTER` intervals.
    """

    def __init__(self, folder: Path, beats: bool = True) -> None:
        self.folder = folder
        self._beats = beats
        self._path: Path | None = None
        self._last_beat = 0.0
        self._lost = False
        self._suspects: dict[Path, tuple[float, float]] = {}

    def acquire(self, timeout: float | None = None) -> None:
        """Take the claim; wait for another holder.

        Args:
            timeout: seconds after which to give up; None waits without a limit. A silent holder is observed to the end.

        Raises:
            HeldError: another process holds the claim.
            DataError: the lock folder is a link.
        """
        started, pause = time.monotonic(), 0.001
        while not self._try():
            is_over = timeout is not None and time.monotonic() - started >= timeout
            if is_over and not self._suspects:
                raise HeldError(str(self.folder))
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def release(self, forever: bool = False) -> None:
        """Give the claim up, if this process still holds it.

        Args:
            forever: no process needs the claim any more, so its files are deleted.
        """
        path, self._path = self._path, None
        _beating.discard(self)
        if path is None:
            return
        with contextlib.suppress(FileNotFoundError):  # taken over, or the whole folder was deleted
            path.rename(path.with_name(path.name.replace("held", "free")))
        if forever:
            with contextlib.suppress(OSError):  # another process came first
                for file in claim_files.files(self.folder):
                    file.unlink(missing_ok=True)
                self.folder.rmdir()

    def check(self) -> None:
        """Check that this process still holds its claim; cheap enough for every step.

        Raises:
            ClaimLostError: this process gave no sign of life for so long that another one took over.
        """
        if self._path is not None and _seconds() - self._last_beat > INTERVAL * DEAD_AFTER / 2:
            self.beat()
        if self._lost:
            raise ClaimLostError(
                f"another process took over {self.folder.parent}: this one gave no sign of life for more than "
                f"{INTERVAL * DEAD_AFTER:.0f} s (suspended, or without its disk?); the other one continues there"
            )

    def beat(self) -> None:
        """Give a sign of life, and notice when another process has taken over."""
        path = self._path
        if path is None:
            return
        try:
            os.utime(path, follow_symlinks=False)
            latest, _ = claim_files.latest(self.folder)
        except FileNotFoundError:
            self._lost = True
        except OSError:  # the disk does not answer: the next beat tries again
            return
        else:
            self._lost = self._lost or latest != path
        self._last_beat = _seconds()

    def _try(self) -> bool:
        """Take the claim if it is free or its holder is dead."""
        claim_files.make(self.folder)
        latest, is_held = claim_files.latest(self.folder)
        self._suspects = {path: seen for path, seen in self._suspects.items() if path == latest}
        if is_held and latest is not None and not self._is_dead(latest):
            return False
        number = 1 if latest is None else claim_files.number(latest) + 1
        return self._create(self.folder / f"{number}.held.lock")

    def _create(self, path: Path) -> bool:
        try:
            handle = os.open(path, claim_files.NEW_FILE, 0o666)
        except (FileExistsError, FileNotFoundError):  # another process was faster, or deleted the folder
            return False
        is_complete = False
        try:
            try:
                os.write(handle, json.dumps(process_facts() | machine_facts()).encode())
            finally:
                os.close(handle)
            latest, _ = claim_files.latest(self.folder)
            if latest != path:  # judged by a file that was long since succeeded
                return False
            for file in claim_files.files(self.folder):
                if claim_files.number(file) < claim_files.number(path):
                    file.unlink(missing_ok=True)
            self._path, self._lost, self._last_beat, is_complete = path, False, _seconds(), True
        finally:
            if not is_complete:
                path.unlink(missing_ok=True)
        self._suspects.clear()
        if self._beats:
            _start_beating(self)
        return True

    def _is_dead(self, path: Path) -> bool:
        """Whether the holder is dead; one on another machine is observed for two intervals."""
        facts = claim_files.holder(path)
        if facts is not None and is_this_machine(facts):
            return not is_alive(facts)
        modified, is_silent = claim_files.silence(path, INTERVAL * DEAD_AFTER)
        if not is_silent:
            self._suspects.pop(path, None)
            return False
        if path not in self._suspects:
            log.warning(
                "%s is held by %s, without a sign of life for %.0f s; taking over in %.0f s unless it gives one",
                self.folder.parent if self.folder.name == ".lock" else self.folder.with_suffix(""),
                facts["host"] if facts is not None else "a process that died at its start",
                INTERVAL * DEAD_AFTER,
                2 * INTERVAL,
            )
        before, since = self._suspects.setdefault(path, (modified, _seconds()))
        if before != modified:
            self._suspects[path] = (modified, _seconds())
        return before == modified and _seconds() - since >= 2 * INTERVAL


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a claim for a moment, such as for appending a line.

    Raises:
        DataError: the lock folder is a link.
    """
    claim = Claim(folder, beats=False)
    try:
        claim.acquire()
        yield
    finally:
        claim.release()


def is_held(folder: Path) -> bool:
    """Whether a living process holds the claim; a silent one on another machine counts as dead at once."""
    try:
        path, is_held_now = claim_files.latest(folder)
        if path is None or not is_held_now:
            return False
        facts = claim_files.holder(path)
        if facts is not None and is_this_machine(facts):
            return is_alive(facts)
        return not claim_files.silence(path, INTERVAL * DEAD_AFTER)[1]
    except FileNotFoundError:  # released at this moment
        return False


def _seconds() -> float:
    """Seconds that pass while the machine is suspended too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


_beating: set[Claim] = set()
_threads: list[threading.Thread] = []


def _start_beating(claim: Claim) -> None:
    _beating.add(claim)
    if not _threads:
        _threads.append(threading.Thread(target=_beat_forever, name="signs of life", daemon=True))
        _threads[0].start()


def _beat_forever() -> None:
    while True:
        time.sleep(INTERVAL)
        for claim in list(_beating):
            claim.beat()


def _forget_in_child() -> None:
    """A forked process holds no claims, and has no thread that gives signs of life."""
    for claim in _beating:
        claim._path = None
    _beating.clear()
    _threads.clear()


os.register_at_fork(after_in_child=_forget_in_child)
