"""Options of `kdrun table`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.config.fields import setting
from kdrun.reporting import ledger_query
from kdrun.reporting.tables.render import Format


class TableKind(Enum):
    """Content of a table."""

    means = "means"
    verdicts = "verdicts"
    arms = "arms"
    domains = "domains"
    text = "text"
    costs = "costs"
    claims = "claims"
    agreement = "agreement"


AXES = ["method", "task", "student", "teacher", "preset", "seed", "settings"]
"""Possible axes of rows and columns; `settings` is all overrides beyond the other axes."""
NOT_IN_BLOCKS = ("update", "export", "check", "format", "since")
"""Options that a table inside a document cannot have: it is Markdown, and its content must not change with time."""


@dataclass
class TableOptions(ledger_query.RunFilters):
    """Options of `kdrun table`."""

    rows: list[str] = setting(["method"], f"axes of the rows: {', '.join(AXES)}")
    cols: list[str] = setting(["task"], "axes of the columns: the same choices")
    of: TableKind = setting(
        TableKind.means,
        "means over seeds, verdicts or arms of kdrun compare, scores by domain, statistics of generated text, costs, "
        "claims of the papers, or agreement with the teacher and retention",
    )
    metric: str | None = setting(None, "metric; null for each task's headline metric")
    split: str | None = setting(None, "split; null for the headline's split")
    digits: int = setting(1, "decimals of a percentage", ge=0, le=6)
    short: bool = setting(False, "with of=claims: one row per paper, without settings and commands")
    paper: bool = setting(False, "also show published values for the same method, task, metric and split")
    format: Format = setting(Format.terminal, "output format; csv: values in percent, one line per cell")
    update: list[str] = setting([], "Markdown files whose blocks <!-- kdrun table OPTIONS --> are regenerated")
    check: bool = setting(False, "with update: change nothing; exit code 1 if a block differs")
    export: str | None = setting(None, "file for publishing the selected runs and comparisons, without folder names")
