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
    """Options of `kdrun report`, besides the PATHs."""

    to: str | None = setting(None, "file to write; default: report.html in PATH, or in the common parent of all PATHs")
    sweep: str | None = setting(None, "only the runs of this sweep (PATH is an output folder)")


OPTIONS = ReportOptions


def main(args: list[str]) -> int:
    """Write a self-contained HTML report: kdrun report PATH… [to=FILE].

    PATH is a run's folder, a comparison's or a search's folder, an output folder, or a folder of comparisons such as
    outputs/compare. Several folders of runs, or of comparisons, give one page.
    """
    from kdrun.config import options
    from kdrun.reporting.html.render import write_page

    prefixes = ("to=", "sweep=")
    arg_paths = [Path(arg) for arg in args if not arg.startswith(prefixes) and ("=" not in arg or Path(arg).exists())]
    # outputs/kd/sst2/* includes an earlier report
    paths = [path for path in arg_paths if len(arg_paths) == 1 or path.name != REPORT]
    report_options, _ = options.parse_options(ReportOptions, [arg for arg in args if Path(arg) not in arg_paths])
    page, default_folder = _page(paths, report_options)
    target = Path(report_options.to) if report_options.to else default_folder / REPORT
    if target.is_dir():
        raise ConfigError([f"to={target} is a folder; name a file, for example to={target / REPORT}"])
    try:
        write_page(page, target)
    except OSError as error:
        raise KdrunError(f"cannot write {target}: {error.strerror}; choose another file with to=FILE") from error
    print(target)
    return 0


def _page(paths: list[Path], options: ReportOptions) -> tuple[Page, Path]:
    """Build the page of these folders, and return the folder where it is written by default."""
    from kdrun.reporting.html import comparison_page, index_page, run_page, run_reader, search_page
    from kdrun.storage.search_record import SEARCH

    problems = [
        f"{path} is {'a file; name its folder' if path.exists() else 'missing'}" for path in paths if not path.is_dir()
    ]
    if not paths:
        problems.append("name a run's folder, a comparison's folder or an output folder: kdrun report PATH")
    if problems:
        raise ConfigError(problems)
    path = paths[0]
    names = (run_reader.COMPARISON, run_reader.RESULT, "config.yaml", SEARCH)
    present = {name: (path / name).exists() for name in names}
    if options.sweep is not None and (len(paths) > 1 or any(present.values())):
        raise ConfigError(
            [f"sweep={options.sweep} selects runs of one output folder, and {path} is not an output folder"]
        )
    comparisons = _comparisons_page(paths, options)
    if comparisons is not None:
        return comparisons
    if len(paths) > 1:
        home = _common_folder(paths)
        return index_page.index_page(index_page.entries_of_folders(paths), f"{len(paths)} runs"), home
    if present[run_reader.COMPARISON]:
        return comparison_page.comparison_page(path), path
    if present[SEARCH]:
        return search_page.search_page(path), path
    if present[run_reader.RESULT] or present["config.yaml"]:
        return run_page.run_page(run_reader.read_run(path)), path
    entries = index_page.entries_of_output(path, options.sweep)
    title = f"sweep {options.sweep}" if options.sweep else f"runs in {path.resolve().name}"
    return index_page.index_page(entries, title), path


def _common_folder(paths: list[Path]) -> Path:
    return Path(os.path.commonpath([path.resolve() for path in paths]))


def _comparisons_page(paths: list[Path], options: ReportOptions) -> tuple[Page, Path] | None:
    """Build the page of several comparisons' folders, or of a folder of comparisons without runs; None for others."""
    from kdrun.reporting.html import comparisons_page, run_reader
    from kdrun.storage.ledger import LEDGER

    if options.sweep is not None:
        return None
    if len(paths) > 1 and all((path / run_reader.COMPARISON).exists() for path in paths):
        folders, home, title = paths, _common_folder(paths), f"{len(paths)} comparisons"
    elif len(paths) == 1 and not any((paths[0] / name).exists() for name in (run_reader.COMPARISON, LEDGER)):
        folders, home = comparisons_page.comparison_folders(paths[0]), paths[0]
        title = f"comparisons in {home.resolve().name}"
    else:
        return None
    page_folder = Path(options.to).parent if options.to else home
    return (comparisons_page.comparisons_page(folders, title, page_folder), home) if folders else None
