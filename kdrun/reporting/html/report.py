"""Write the HTML report of a run, a comparison or a search."""

from __future__ import annotations

from pathlib import Path

REPORT = "report.html"


def write_run_report(run_dir: Path) -> Path:
    """Write `report.html` into a finished run's folder.

    Returns:
        Path of the file.

    Raises:
        DataError: the folder holds no finished run, or a file in it is broken.
    """
    from kdrun.reporting.html import run_page, run_reader
    from kdrun.reporting.html.render import write_page

    return write_page(run_page.run_page(run_reader.read_run(run_dir)), run_dir / REPORT)


def write_search_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a search, which holds search.json.

    Returns:
        Path of the file.

    Raises:
        DataError: the folder holds no search, or a file in it or in the comparison's folder is broken.
    """
    from kdrun.reporting.html import search_page
    from kdrun.reporting.html.render import write_page

    return write_page(search_page.search_page(folder), folder / REPORT)


def write_comparison_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a comparison, which holds comparison.json.

    Returns:
        Path of the file.

    Raises:
        DataError: the folder holds no comparison, or a file in it or in a run's folder is broken.
    """
    from kdrun.reporting.html import comparison_page
    from kdrun.reporting.html.render import write_page

    return write_page(comparison_page.comparison_page(folder), folder / REPORT)
