"""Write the HTML report of a run or a comparison."""

from __future__ import annotations

from pathlib import Path

REPORT = "report.html"


def write_run_report(run_folder: Path) -> Path:
    """Write `report.html` into a finished run's folder.

    Returns:
        The file.

    Raises:
        DataError: the folder holds no finished run, or a file in it is broken.
    """
    from kdrun.reporting.html import run_page, run_reader
    from kdrun.reporting.html.render import write_page

    return write_page(run_page.run_page(run_reader.read_run(run_folder)), run_folder / REPORT)


def write_comparison_report(folder: Path) -> Path:
    """Write `report.html` into a comparison's folder (it holds comparison.json).

    Returns:
        The file.

    Raises:
        DataError: the folder holds no comparison, or a file in it or in a run's folder is broken.
    """
    from kdrun.reporting.html import comparison_page
    from kdrun.reporting.html.render import write_page

    return write_page(comparison_page.comparison_page(folder), folder / REPORT)
