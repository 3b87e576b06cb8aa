"""Errors that a user can fix, with value and remedy."""

from __future__ import annotations

import errno


class KdrunError(Exception):
    """Anything a user can mend: shown as a message, never as a traceback. The exit code is `code`."""

    code = 1


class ConfigError(KdrunError):
    """The configuration is wrong; carries every problem found, not only the first."""

    code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        head = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{head} in the configuration:\n" + "\n".join(f"  - {p}" for p in problems))


class DataError(KdrunError):
    """A data file is missing, malformed or inconsistent with the task."""


class ModelError(KdrunError):
    """A model cannot be found, loaded or fitted to the task."""


class TrainingError(KdrunError):
    """A run had to stop: a non-finite loss, a gradient that reaches nothing, a teacher that is too weak."""


class CheckpointError(KdrunError):
    """A checkpoint cannot be written, or cannot be used."""


class CacheError(KdrunError):
    """An entry of the cache was removed while it was made."""


class DiskError(KdrunError):
    """The disk has no room for what a run writes."""


class BusyError(ConfigError):
    """Another process is at work in the run's folder."""


RECOVERABLE_ERRORS = (KdrunError, RuntimeError, OSError)
"""What may end one run and leave others worth running: KdrunError, out of memory, a full disk."""


class PathError(KdrunError):
    """A file or folder cannot be read or written where it is."""


PATH_ERRNOS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
    errno.ENOSPC, errno.EDQUOT,
)  # fmt: skip
"""Errors of the system that another place or another right mends."""


def as_path_error(error: OSError) -> PathError | None:
    """What a user can do about an error of the system; None for one that is no user's to mend."""
    if error.errno not in PATH_ERRNOS:
        return None
    return PathError(
        f"{error.strerror}: {error.filename}; it reads what the config names, writes into output_dir=…, run_dir=… "
        "and its cache (KDRUN_CACHE): name places that allow it and have room, or change their rights"
    )


def did_you_mean(word: str, known: list[str]) -> str:
    """A `; did you mean 'x'?` ending for an unknown name, or nothing when no known name is close."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
