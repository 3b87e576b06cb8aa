"""Statistics of generated text by arm."""

from __future__ import annotations

from typing import Any

from kdrun.formatting import NOT_MEASURED, mean_sd
from kdrun.reporting.generated_text import format_statistic
from kdrun.reporting.tables import comparisons, run_facts
from kdrun.reporting.tables.render import TextTable, csv_percent

Comparison = dict[str, Any]
FIGURES = (
    ("agreement", "", "wanted class"),
    ("confidence", "", "confidence"),
    ("evenness", "", "evenness"),
    ("distinct_1", "source_distinct_1", "distinct-1 (source)"),
    ("distinct_2", "source_distinct_2", "distinct-2 (source)"),
    ("copied_1", "", "copied words"),
    ("words", "source_words", "words a row (source)"),
)
"""Key of a figure in an arm's `made_text`, key of the same of the source rows, heading."""
COLUMNS = ["arm", "rows", *(heading for _, _, heading in FIGURES)]
NOTE = (
    "Shares, from 0 to 1, means over seeds: rows in which the teacher finds the class that was wanted; its largest "
    "probability; entropy of its classes as a share of the largest; different words and word pairs of all; words that "
    "the source row has too."
)


def rows(one: Comparison) -> list[list[str]]:
    """The arms of a comparison that left text, the cells of `COLUMNS` each; none where there are none."""
    return [_cells(arm) for arm in one["arms"] if arm.get("made_text")]


def make_table(found: list[Comparison], methods: list[str], digits: int) -> TextTable:
    """One row a comparison and arm that left text, the student's score beside it.

    Args:
        found: comparisons; arms that left no text are left out.
        methods: only arms of these; all if there are none.
        digits: decimals of the score in percent.
    """
    lines, records = [], []
    found = [one for one in found if rows(one)]
    for one in found:
        shared = [run_facts.task_name(one), one["metric"], one["student"] or NOT_MEASURED, comparisons.settings_of(one)]
        shared.append(", ".join(str(seed) for seed in one["seeds"]))
        for arm in one["arms"]:
            made = arm.get("made_text")
            if made is None or (methods and comparisons.method_of(arm) not in methods):
                continue
            name, *cells = _cells(arm)
            score = mean_sd(arm["mean"], arm["sd"], digits, scale=100)
            lines.append([*shared, name, score, *cells])
            line = {"arm": name, "mean": csv_percent(arm["mean"]), "sd": csv_percent(arm["sd"])}
            figures = {key: "" if value is None else value for key, value in made.items()}
            records.append(comparisons.values(one) | line | figures)
    columns = [*comparisons.SHARED[:5], "arm", "mean ± sd", *COLUMNS[1:]]
    notes = [NOTE, *comparisons.notes(found), *comparisons.failures(found)]
    return TextTable(comparisons.caption(found), columns, lines, records, notes, left=range(6))


def _cells(arm: dict[str, Any]) -> list[str]:
    made = arm["made_text"]
    cells = []
    for key, of_source, _ in FIGURES:
        cells.append(format_statistic(made, key) + (f" ({format_statistic(made, of_source)})" if of_source else ""))
    return [arm["name"], f"{made['rows']:.0f}", *cells]
