"""Errors that a user can fix, with value and remedy."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any


class KdrunError(Exception):
    """An error that the user can fix: shown as a message, never as a traceback. The exit code is `code`."""

    code = 1


class Problem(str):
    """A sentence about one problem of a configuration, with the key and the value that it is about.

    Attributes:
        key: dotted, as on the command line; None where the problem is about no single key.
        value: the value found; None where there is none.
    """

    key: str | None
    value: Any

    def __new__(cls, key: str | None, value: Any, text: str) -> Problem:
        """Make the sentence `text` carry its key and value."""
        problem = super().__new__(cls, text)
        problem.key, problem.value = key, value
        return problem

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.key, self.value, str(self)


class ConfigError(KdrunError):
    """The configuration is wrong; carries every problem found, not only the first."""

    code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = [p if isinstance(p, Problem) else Problem(None, None, p) for p in problems]
        head = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{head} in the configuration:\n" + "\n".join(f"  - {p}" for p in problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)


class DataError(KdrunError):
    """A data file is missing, malformed or inconsistent with the task."""


class ModelError(KdrunError):
    """A model cannot be found, loaded or fitted to the task."""


class TrainingError(KdrunError):
    """A run had to stop: a non-finite loss, a gradient that reaches nothing, a teacher that is too weak."""


class CheckpointError(KdrunError):
    """A checkpoint cannot be written, or cannot be used."""


class CacheError(KdrunError):
    """An entry of the cache was removed while it was being built."""


class ClaimLostError(KdrunError):
    """Another process took over what this one had claimed."""


class DiskError(KdrunError):
    """The disk has no room for the files of a run."""


class LaunchError(KdrunError):
    """A launcher cannot submit jobs, or one of its jobs ended without a result."""


class ProcessError(KdrunError):
    """A process of a run that several compute ended, or cannot be started."""


class BusyError(ConfigError):
    """Another process is using the run's directory."""


def describe(error: BaseException) -> dict[str, Any]:
    """An error as plain data, for another process."""
    problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else []
    return {"error": type(error).__name__, "message": str(error), "problems": problems}


def restore(description: Mapping[str, Any]) -> KdrunError:
    """The error that `describe` described; one of another type becomes a KdrunError that names its type."""
    name, message = description["error"], description["message"]
    found = globals().get(name)
    if not (isinstance(found, type) and issubclass(found, KdrunError)):
        return KdrunError(f"{name}: {message}")
    return found(description["problems"]) if issubclass(found, ConfigError) else found(message)


RECOVERABLE_ERRORS = (KdrunError, RuntimeError, OSError)
"""Errors that may end one run while others are still worth running: KdrunError, out of memory, a full disk."""


class PathError(KdrunError):
    """A file or folder cannot be read or written at its path."""


PATH_ERRNOS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
    errno.ENOSPC, errno.EDQUOT,
)  # fmt: skip
"""System errors that another path or other permissions fix."""


def as_path_error(error: OSError) -> PathError | None:
    """The remedy for a system error about a path; None for any other system error."""
    if error.errno not in PATH_ERRNOS:
        return None
    return PathError(
        f"{error.strerror}: {error.filename}; check permissions and free space, or choose another output_dir=…, "
        "run_dir=… or KDRUN_CACHE"
    )


SIMILARITY = 0.6
"""Similarity from which a choice is suggested: `angry` and `neg` have 0.5, `bert` and `bert_base` 0.62."""
MIN_BEGINNING = 3
"""Characters from which a name is taken for the beginning of a choice."""


def did_you_mean(name: str, choices: Sequence[str]) -> str:
    """The ending `; did you mean 'x'?` for an unknown name; empty when no choice is close.

    A name that differs from a choice only in case, blanks, `-` or `_` is that choice. The beginning of one choice alone
    means this choice.
    """
    import difflib

    plain = _plain(name)
    same = [choice for choice in choices if _plain(choice) == plain]
    longer = [choice for choice in choices if len(plain) >= MIN_BEGINNING and _plain(choice).startswith(plain)]
    close = same or (longer if len(longer) == 1 else [])
    close = close or difflib.get_close_matches(name, choices, n=1, cutoff=SIMILARITY)
    close = close or difflib.get_close_matches(name.lower(), choices, n=1, cutoff=SIMILARITY)
    return f"; did you mean {close[0]!r}?" if close else ""


def _plain(name: str) -> str:
    return "".join(char for char in name.lower() if char not in "-_ ")
