"""Costs of the students of runs, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdrun.formatting import NOT_MEASURED, count, number, param_count
from kdrun.reporting.tables.render import TextTable, csv_percent
from kdrun.reporting.tables.run_facts import task_name
from kdrun.storage.run_result import headline_score

COLUMNS = [
    "method", "task", "student", "seed", "score", "parameters", "weights (MB)", "MFLOPs per row", "p50 (ms)", "rows/s",
    "processor", "threads",
]  # fmt: skip
MEGA = 1e6
NOTE = (
    "Measured at the end of each run (cost_card=true), at different times; kdrun cost measures several runs side by "
    "side. Latencies of two machines do not compare."
)


def make_table(runs: Sequence[dict[str, Any]], digits: int) -> TextTable:
    """Build the table: one row per finished run with measured costs.

    Args:
        runs: runs of the ledger; those without costs are left out.
        digits: decimals of the score in percent.
    """
    rows, records = [], []
    for run in (run for run in runs if run.get("cost")):
        cost, student = run["cost"], run["student"]
        score, flops = headline_score(run["headline"], student), cost["flops_per_row"]
        facts = [run["method"], task_name(run), student["name"], str(run["seed"])]
        rows.append(
            [
                *facts,
                number(None if score is None else 100 * score, digits),
                param_count(student.get("params")),
                f"{cost['bytes'] / MEGA:.2f}",
                NOT_MEASURED if flops is None else f"{flops / MEGA:.3g}",
                f"{cost['latency_p50_ms']:.2f}",
                count(cost["rows_per_s"]),
                cost["processor"],
                str(cost["threads"]),
            ]
        )
        shared = dict(zip(COLUMNS[:4], facts, strict=True))
        records.append(shared | {"score": csv_percent(score), "params": student.get("params")} | cost)
    return TextTable("Costs of students", COLUMNS, rows, records, [NOTE], left=[0, 1, 2, 10])
