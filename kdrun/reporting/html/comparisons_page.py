"""The page of several comparisons."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kdrun.formatting import NOT_MEASURED, join_words, plural
from kdrun.reporting.html.blocks import Block, Page, Section, Table, Text
from kdrun.reporting.html.report import REPORT
from kdrun.reporting.html.run_reader import COMPARISON, read_comparison
from kdrun.reporting.tables import comparisons
from kdrun.reporting.tables.render import TextTable

DEPTHS = ("*", "*/*", "*/*/*")
DIGITS = 1


def comparison_folders(folder: Path) -> list[Path]:
    """Return the folders of comparisons below a folder, e.g. below `outputs/compare`."""
    return sorted({path.parent for depth in DEPTHS for path in folder.glob(f"{depth}/{COMPARISON}")})


def comparisons_page(folders: Sequence[Path], title: str, page_folder: Path) -> Page:
    """Build a page that lists comparisons, with their verdicts and arms.

    Args:
        folders: folders of the comparisons.
        title: title of the page.
        page_folder: folder in which the page will be; the links to the comparisons' pages are relative to it.

    Raises:
        DataError: a folder holds no comparison, or a file is broken.
    """
    entries = [(folder, read_comparison(folder)) for folder in folders]
    entries.sort(key=lambda entry: entry[1].get("started") or 0)
    records = [record for _, record in entries]
    verdicts = comparisons.verdict_table(records, [], DIGITS)
    arms = comparisons.arm_table(records, [], DIGITS)
    arms.notes = [note for note in arms.notes if note not in verdicts.notes]
    intro = f"{plural(len(records), 'comparison')}: the curves, configs and rows of each are on its own page."
    sections = [
        Section("comparisons", "Comparisons", [Text(intro, "lead"), _list(entries, page_folder)]),
        Section("verdicts", "Verdicts", _blocks(verdicts, "No comparison has a pair of arms with finished runs.")),
        Section("arms", "Arms", _blocks(arms, "No comparison has arms.")),
    ]
    synthetic = all(record.get("synthetic") for record in records)
    return Page(title, "kdrun, several comparisons", synthetic, sections)


def _list(entries: list[tuple[Path, dict[str, Any]]], page_folder: Path) -> Table:
    rows, links, missing = [], [], []
    for folder, record in entries:
        name = record.get("comparison_id") or folder.name
        started = record.get("started")
        when = NOT_MEASURED if started is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(started))
        arms = join_words([arm["name"] for arm in record["arms"]])
        seeds = ", ".join(map(str, record.get("seeds") or [])) or NOT_MEASURED
        task, student = record.get("data_name") or record["task"], record.get("student") or NOT_MEASURED
        rows.append([name, when, arms, task, student, record.get("preset") or NOT_MEASURED, seeds])
        has_page = (folder / REPORT).exists()
        links.append(quote(os.path.relpath(folder / REPORT, page_folder)) if has_page else "")
        missing += [] if has_page else [name]
    notes = [f"{', '.join(missing)}: no {REPORT}; kdrun report FOLDER writes it."] if missing else []
    columns = ["comparison", "when", "arms", "task", "student", "preset", "seeds"]
    return Table("Comparisons", columns, rows, notes, has_numbers=False, links=links)


def _blocks(table: TextTable, nothing: str) -> list[Block]:
    """Show a table of text as a table of the page."""
    if not table.rows:
        return [Text(nothing)]
    num_text_columns = next((i for i in range(len(table.columns)) if i not in table.left), len(table.columns))
    return [Table(table.title, table.columns, table.rows, table.notes, num_text_columns=num_text_columns)]
