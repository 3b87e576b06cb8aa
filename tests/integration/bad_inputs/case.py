"""One case of bad input: setup, command and expected message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SMOKE = ("preset=smoke", "task=sst2")
MADE = Callable[[Path, Path], object]
"""Makes the input in the case's own folder; the second is a finished run on the embedded data, to be copied from."""


def nothing(here: Path, run: Path) -> None:
    """Leaves the folder empty."""


@dataclass(frozen=True)
class Case:
    """A kind of bad input.

    Attributes:
        name: what is wrong.
        words: the command; `{here}` is replaced by the folder of the case, where `output_dir` is `{here}/out`.
        says: parts of the message, blanks aside: what, where, what to do.
        code: the exit code: 2 for a command line or config, 1 for all else, 0 where the run continues with a warning.
        make: makes the input.
        around: changes the surroundings: environment, rights, room.
    """

    name: str
    words: tuple[str, ...]
    says: tuple[str, ...]
    code: int = 1
    make: MADE = nothing
    around: Callable[[pytest.MonkeyPatch, Path], None] | None = None


def config(name: str, words: str, *says: str) -> Case:
    """Words that are refused before anything is looked at."""
    return Case(name, tuple(words.split(" ")), says, code=2)
