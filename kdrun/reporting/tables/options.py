"""Options of `kdrun table`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kdrun.config.fields import setting
from kdrun.reporting import ledger_query
from kdrun.reporting.tables.render import Format


class TableKind(Enum):
    """What a table is of."""

    means = "means"
    verdicts = "verdicts"
    arms = "arms"
    domains = "domains"
    text = "text"


AXES = ["method", "task", "student", "teacher", "preset", "seed", "settings"]
"""What rows and columns can stand for; `settings` is what was typed beyond the others."""
ELSEWHERE = ("update", "export", "check", "format", "since")
"""Words that a table inside a document cannot have: it is Markdown, and the same tomorrow."""


@dataclass
class TableOptions(ledger_query.RunFilters):
    """Words of `kdrun table`."""

    rows: list[str] = setting(["method"], f"what the rows are: {', '.join(AXES)}")
    cols: list[str] = setting(["task"], "what the columns are: the same choice")
    of: TableKind = setting(
        TableKind.means, "means over seeds; or the verdicts, arms, domains or made text of kdrun compare"
    )
    metric: str | None = setting(None, "null is each task's headline metric")
    split: str | None = setting(None, "null is the headline's split")
    digits: int = setting(1, "decimals of a percentage", ge=0, le=6)
    paper: bool = setting(False, "published values beside, where the method, task, metric and split are the same")
    format: Format = setting(Format.terminal, "how the table is written; csv: values in percent, one line a cell")
    update: list[str] = setting([], "Markdown files whose blocks <!-- kdrun table WORDS --> are made anew")
    check: bool = setting(False, "with update: change nothing; exit code 1 when a block differs")
    export: str | None = setting(None, "a file to publish the chosen runs and comparisons in, without folder names")
