"""Flags -q and -v, also for processes that a launcher starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdrun.console import VERBOSITY, Console, WarningConsole

if TYPE_CHECKING:
    from kdrun.storage.run_result import RunResult

LEVELS = {"-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose"}


def take_verbosity(args: Sequence[str]) -> list[str]:
    """Set the verbosity by the flags among the arguments; returns the other arguments."""
    levels = [LEVELS[arg] for arg in args if arg in LEVELS]
    os.environ.pop(VERBOSITY, None)
    if levels:
        os.environ[VERBOSITY] = levels[-1]
    return [arg for arg in args if arg not in LEVELS]


def is_quiet() -> bool:
    """Whether -q was given: warnings, errors and one line per run."""
    return os.environ.get(VERBOSITY) == "quiet"


def is_verbose() -> bool:
    """Whether -v was given: also debug messages and tracebacks."""
    return os.environ.get(VERBOSITY) == "verbose"


def run_console() -> Console:
    """Console of a run."""
    return WarningConsole() if is_quiet() else Console()


def score_line(result: RunResult) -> str:
    """Method, data and score of a run, for -q."""
    from kdrun.formatting import percent
    from kdrun.storage.run_result import headline_score

    headline = result["headline"]
    score = percent(headline_score(headline, result["student"]))
    return f"{result['method']} on {result['data']['name']}: {headline['split']} {headline['metric']} {score}"
