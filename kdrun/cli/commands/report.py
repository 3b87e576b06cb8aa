"""`kdrun report`: write an HTML report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdrun.config.fields import setting
from kdrun.errors import ConfigError, KdrunError
from kdrun.reporting.html.report import REPORT

if TYPE_CHECKING:
    from kdrun.reporting.html.blocks import Page


@dataclass
class ReportOptions:
    """Words of `kdrun report` beside its PATHs."""

    to: str | None = setting(None, "file to write; by default report.html in PATH, or in the folder around all PATHs")
    sweep: str | None = setting(None, "of an output folder, only the runs of this sweep")


OPTIONS = ReportOptions


def main(words: list[str]) -> int:
    """One HTML file that needs nothing else: kdrun report PATH… [to=FILE].

    PATH is a run's folder, a comparison's folder, or an output folder; several run folders make one page of them.
    """
    from kdrun.config import options
    from kdrun.reporting.html.render import write_page

    names = ("to=", "sweep=")
    named = [Path(word) for word in words if not word.startswith(names) and ("=" not in word or Path(word).exists())]
    # outputs/kd/sst2/* names the page of the last time too
    paths = [path for path in named if len(named) == 1 or path.name != REPORT]
    settings, _ = options.parse_options(ReportOptions, [word for word in words if Path(word) not in named])
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


def _page(paths: list[Path], settings: ReportOptions) -> tuple[Page, Path]:
    """The page of these folders, and the folder it lies in by default."""
    from kdrun.reporting.html import comparison_page, index_page, run_page, run_reader

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
    kinds = {name: (path / name).exists() for name in (run_reader.COMPARISON, run_reader.RESULT, "config.yaml")}
    if settings.sweep is not None and (len(paths) > 1 or any(kinds.values())):
        raise ConfigError([f"sweep={settings.sweep} picks runs of one output folder, and {path} is none"])
    if len(paths) > 1:
        home = Path(os.path.commonpath([path.resolve() for path in paths]))
        return index_page.index_page(index_page.of_folders(paths), f"{len(paths)} runs"), home
    if kinds[run_reader.COMPARISON]:
        return comparison_page.comparison_page(path), path
    if kinds[run_reader.RESULT] or kinds["config.yaml"]:
        return run_page.run_page(run_reader.read_run(path)), path
    entries = index_page.of_output(path, settings.sweep)
    title = f"sweep {settings.sweep}" if settings.sweep else f"runs in {path.resolve().name}"
    return index_page.index_page(entries, title), path
