"""`kdrun report`: one HTML file of a run, a comparison, or several runs. Reads results, never changes them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdrun.errors import ConfigError, KdrunError
from kdrun.settings import setting

if TYPE_CHECKING:
    from kdrun.report.blocks import Page

REPORT = "report.html"


@dataclass
class Settings:
    """Words of `kdrun report` beside its PATHs."""

    to: str | None = setting(None, "file to write; by default report.html in PATH, or in the folder around all PATHs")
    sweep: str | None = setting(None, "of an output folder, only the runs of this sweep")


def main(words: list[str]) -> int:
    """One HTML file that needs nothing else: kdrun report PATH… [to=FILE].

    PATH is a run's folder, a comparison's folder, or an output folder; several run folders make one page of them.
    """
    from kdrun import verbs
    from kdrun.report.page import write_page

    names = ("to=", "sweep=")
    named = [Path(word) for word in words if not word.startswith(names) and ("=" not in word or Path(word).exists())]
    # outputs/kd/sst2/* names the page of the last time too
    paths = [path for path in named if len(named) == 1 or path.name != REPORT]
    settings, _ = verbs.parse(Settings, [word for word in words if Path(word) not in named])
    page, home = _page(paths, settings)
    target = Path(settings.to) if settings.to else home / REPORT
    if target.is_dir():
        raise ConfigError([f"to={target} is a folder; name a file, such as to={target / REPORT}"])
    try:
        write_page(page, target)
    except OSError as error:
        raise KdrunError(f"cannot write {target}: {error.strerror}; name another place with to=FILE") from error
    print(target)
    return 0


def write(run_folder: Path) -> Path:
    """Write `report.html` into a finished run's folder.

    Returns:
        The file.

    Raises:
        DataError: the folder holds no finished run, or a file in it is broken.
    """
    from kdrun.report import read, run
    from kdrun.report.page import write_page

    return write_page(run.page(read.read_run(run_folder)), run_folder / REPORT)


def write_comparison(folder: Path) -> Path:
    """Write `report.html` into a comparison's folder (it holds comparison.json).

    Returns:
        The file.

    Raises:
        DataError: the folder holds no comparison, or a file in it or in a run's folder is broken.
    """
    from kdrun.report import comparison
    from kdrun.report.page import write_page

    return write_page(comparison.page(folder), folder / REPORT)


def _page(paths: list[Path], settings: Settings) -> tuple[Page, Path]:
    """The page of these folders, and the folder it lies in by default."""
    from kdrun.report import comparison, listing, read, run

    problems = [
        f"{path} is {'a file; name its folder' if path.exists() else 'not there'}"
        for path in paths
        if not path.is_dir()
    ]
    if not paths:
        problems.append("name a run's folder, a comparison's folder or an output folder: kdrun report PATH")
    if problems:
        raise ConfigError(problems)
    path = paths[0]
    kinds = {name: (path / name).exists() for name in (read.COMPARISON, read.RESULT, "config.yaml")}
    if settings.sweep is not None and (len(paths) > 1 or any(kinds.values())):
        raise ConfigError([f"sweep={settings.sweep} picks runs of one output folder, and {path} is none"])
    if len(paths) > 1:
        home = Path(os.path.commonpath([path.resolve() for path in paths]))
        return listing.page(listing.of_folders(paths), f"{len(paths)} runs"), home
    if kinds[read.COMPARISON]:
        return comparison.page(path), path
    if kinds[read.RESULT] or kinds["config.yaml"]:
        return run.page(read.read_run(path)), path
    entries = listing.of_output(path, settings.sweep)
    title = f"sweep {settings.sweep}" if settings.sweep else f"runs in {path.resolve().name}"
    return listing.page(entries, title), path
