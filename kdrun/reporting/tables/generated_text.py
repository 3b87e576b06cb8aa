"""Statistics of generated text by arm."""

from __future__ import annotations

from typing import Any

from kdrun.formatting import number
from kdrun.reporting.generated_text import format_statistic
from kdrun.reporting.tables import comparisons, metric_format
from kdrun.reporting.tables.render import TextTable

Comparison = dict[str, Any]
STATISTIC_COLUMNS = (
    ("agreement", "", "target class"),
    ("confidence", "", "confidence"),
    ("evenness", "", "evenness"),
    ("distinct_1", "source_distinct_1", "distinct-1 (source)"),
    ("distinct_2", "source_distinct_2", "distinct-2 (source)"),
    ("copied_1", "", "copied words"),
    ("words", "source_words", "words per row (source)"),
)
"""Key of a statistic in an arm's `made_text`, key of the same statistic of the source rows, heading."""
COLUMNS = ["arm", "rows", *(heading for _, _, heading in STATISTIC_COLUMNS)]
NOTE = (
    "Shares from 0 to 1, means over seeds: rows that the teacher assigns to the target class; the teacher's largest "
    "probability; entropy of its classes relative to the maximum; distinct words and word pairs; words that also occur "
    "in the source row."
)


def statistic_rows(record: Comparison) -> list[list[str]]:
    """Return the cells of `COLUMNS` for each arm that exported text; empty if none did."""
    return [_cells(arm) for arm in record["arms"] if arm.get("made_text")]


def make_table(records: list[Comparison], methods: list[str], digits: int) -> TextTable:
    """Build the table: one row per comparison and arm with exported text, next to the student's score.

    Args:
        records: records of comparisons; arms without exported text are left out.
        methods: only arms of these methods; empty for all.
        digits: decimals of the score in percent.
    """
    lines, csv_rows = [], []
    records = [record for record in records if statistic_rows(record)]
    for record in records:
        shared = comparisons.leading_cells(record)
        for arm in record["arms"]:
            statistics = arm.get("made_text")
            if statistics is None or (methods and comparisons.method_of(arm) not in methods):
                continue
            name, *cells = _cells(arm)
            score = metric_format.score_sd(record["metric"], arm["mean"], arm["sd"], digits, unit=False)
            lines.append([*shared, name, score, *cells])
            values = {key: metric_format.csv_score(record["metric"], arm[key]) for key in ("mean", "sd")}
            line = {"arm": name, **values}
            statistics_or_empty = {key: "" if value is None else value for key, value in statistics.items()}
            csv_rows.append(comparisons.csv_values(record) | line | statistics_or_empty)
    columns = [*comparisons.SHARED[:5], "arm", "mean ± sd", *COLUMNS[1:]]
    notes = [NOTE, *comparisons.notes(records), *comparisons.failures(records)]
    return TextTable(comparisons.caption(records), columns, lines, csv_rows, notes, left=range(6))


def _cells(arm: dict[str, Any]) -> list[str]:
    statistics = arm["made_text"]
    cells = []
    for key, source_key, _ in STATISTIC_COLUMNS:
        source = f" ({format_statistic(statistics, source_key)})" if source_key else ""
        cells.append(format_statistic(statistics, key) + source)
    return [arm["name"], number(statistics["rows"], 0), *cells]
