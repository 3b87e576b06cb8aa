"""Unwritable places, full disks, no home directory.

Tests may run as root, which ignores permissions, so permission errors are simulated.
"""

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.bad_inputs.case import MADE, SMOKE, Case, nothing
from tests.integration.bad_inputs.files import rows


def denied(below: str, number: int) -> Callable[[pytest.MonkeyPatch, Path], None]:
    """Opening for writing and making folders below a folder of the case fails with an error of the system."""

    def around(patch: pytest.MonkeyPatch, here: Path) -> None:
        real: dict[str, Any] = {"open": io.open, "os.open": os.open, "mkdir": os.mkdir}

        def stop(path: Any) -> None:
            if isinstance(path, str | bytes | os.PathLike) and Path(os.fsdecode(path)).is_relative_to(here / below):
                raise OSError(number, os.strerror(number), os.fsdecode(path))

        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if set(mode) & set("wax+"):
                stop(file)
            return real["open"](file, mode, *args, **kwargs)

        def os_opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                stop(path)
            return real["os.open"](path, flags, *args, **kwargs)

        def denied_mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
            stop(path)
            real["mkdir"](path, *args, **kwargs)

        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        patch.setattr(os, "open", os_opened)
        patch.setattr(os, "mkdir", denied_mkdir)

    return around


def unreadable(below: str) -> Callable[[pytest.MonkeyPatch, Path], None]:
    """Reading a file of the case is not allowed."""

    def around(patch: pytest.MonkeyPatch, here: Path) -> None:
        real = io.open

        def opened(file: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, str | os.PathLike) and Path(file) == here / below:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
            return real(file, *args, **kwargs)

        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)

    return around


def cache_at(place: str, then: Callable[[pytest.MonkeyPatch, Path], None] | None = None) -> Any:
    def around(patch: pytest.MonkeyPatch, here: Path) -> None:
        patch.setenv("KDRUN_CACHE", str(here / place))
        if then is not None:
            then(patch, here)

    return around


def homeless(patch: pytest.MonkeyPatch, here: Path) -> None:
    """No HOME and no known user."""
    patch.delenv("KDRUN_CACHE", raising=False)
    patch.delenv("HOME", raising=False)

    def unknown_user(number: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    patch.setattr("pwd.getpwuid", unknown_user)


def a_file(name: str) -> MADE:
    return lambda here, run: (here / name).write_text("x")


RUN = (*SMOKE, "method=finetune")
KD = (*SMOKE, "method=kd")
GLUE = (*RUN, "data=folder", "data.dir={here}/glue")
CASES: list[Case] = [
    Case("an output folder without rights", RUN, ("Permission denied", "out", "output_dir="),
         around=denied("out", errno.EACCES)),
    Case("an output folder that is read-only", RUN, ("Read-only file system", "out", "output_dir="),
         around=denied("out", errno.EROFS)),
    Case("an output folder without room", RUN, ("No space left", "out", "output_dir="),
         around=denied("out", errno.ENOSPC)),
    Case("a run folder without rights", (*RUN, "run_dir={here}/own"), ("Permission denied", "own", "run_dir="),
         around=denied("own", errno.EACCES)),
    Case("a name that is too long", (*RUN, "run_dir={here}/" + "x" * 300), ("File name too long", "run_dir=")),
    Case("a name with a null byte", (*RUN, "run_dir={here}/a\0b"), ("null byte",), code=2),
    Case("a cache without rights", KD, ("Permission denied", "cache", "KDRUN_CACHE"),
         around=cache_at("cache", denied("cache", errno.EACCES))),
    Case("a cache that is read-only", KD, ("Read-only file system", "cache", "KDRUN_CACHE"),
         around=cache_at("cache", denied("cache", errno.EROFS))),
    Case("a cache without room", KD, ("No space left", "cache", "KDRUN_CACHE"),
         around=cache_at("cache", denied("cache", errno.ENOSPC))),
    Case("a cache that is a file", KD, ("Not a directory", "cache", "KDRUN_CACHE"), make=a_file("cache"),
         around=cache_at("cache")),
    Case("no home", KD, ("home", "KDRUN_CACHE"), make=nothing, around=homeless),
    Case("a data file without rights", GLUE, ("Permission denied", "train.tsv"), make=rows(b"sentence\tlabel\na\t0\n"),
         around=unreadable("glue/SST-2/train.tsv")),
    Case("a ledger without rights", ("runs", "output_dir={here}/out"), ("Permission denied", "ledger.jsonl"),
         make=lambda here, run: (here / "out").mkdir() or ((here / "out" / "ledger.jsonl").write_text("")),
         around=unreadable("out/ledger.jsonl")),
    Case("a report without rights", ("report", "{here}/run"), ("Permission denied", "report.html"),
         make=lambda here, run: shutil.copytree(run, here / "run"),
         around=denied("run", errno.EACCES)),
]  # fmt: skip
