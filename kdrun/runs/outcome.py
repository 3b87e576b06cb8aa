"""Record how a run ended, and print how to resume it."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kdrun import signals
from kdrun.console import Console
from kdrun.errors import CheckpointError, DiskError
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage.run_record import RECORD

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def explain_interruption(run_dir: RunDirectory, console: Console) -> Iterator[None]:
    """Handle signals, and print how to resume a run that stops early."""
    resume = f"resume with: {shlex.join(['kdrun', f'resume={run_dir.path}'])}"
    try:
        with signals.handle_signals():
            yield
    except (KeyboardInterrupt, CheckpointError):
        console.print(resume)
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        if (run_dir.path / RECORD).exists():
            console.print(resume)
        raise DiskError(
            f"no space left for {run_dir.path}: {error}; free some space or choose another folder (output_dir=…, "
            "run_dir=…, KDRUN_CACHE for the cache), then resume"
        ) from error


@contextmanager
def record_outcome(run_dir: RunDirectory) -> Iterator[None]:
    """Record in the ledger how an unfinished run ended, and release the folder."""
    try:
        yield
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # a full disk has no space for this line either: the ledger then shows a crash
            run_dir.close("interrupted", error=str(stop) or "stopped from the keyboard")
        raise
    except BaseException as error:
        with suppress(OSError):
            run_dir.close("failed", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        run_dir.release()
