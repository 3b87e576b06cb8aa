"""Print a search."""

from __future__ import annotations

import shlex
from pathlib import Path

from kdrun.config import domains
from kdrun.console import Console
from kdrun.experiments.sweep_display import column_names
from kdrun.experiments.sweep_record import load
from kdrun.experiments.tune.plan import SearchPlan
from kdrun.formatting import NOT_MEASURED, first_line, number, percent
from kdrun.progress import track
from kdrun.reporting.html import report
from kdrun.reporting.tables.searches import counts_text, ranked
from kdrun.storage.search_record import SearchRecord

MOST_TRIALS = 10
"""Trials in the printed table; the report lists all."""


def print_header(plan: SearchPlan, console: Console) -> None:
    """Print the space, the overrides of all runs, and the command that lists the runs."""
    sweep = load(plan.folder)
    facts = [(key, text) for key, text in plan.space.texts.items()]
    facts.append(("all runs", shlex.join(plan.trial_overrides)))
    title = f"{plan.trials} trials for the best {plan.split} {plan.metric}, seed {plan.seed}"
    console.key_values(f"{title}, pruned by the median" if plan.prune else title, facts)
    if plan.prune and (plan.config.runtime.devices > 1 or domains.is_per_domain(plan.config.method)):
        console.note("runs of several processes, or over all domains, are not pruned")
    if sweep is not None:
        console.print(f"search {plan.name} resumes; to list its runs: {sweep.command}")
    else:
        console.print(f"search {plan.name} starts in {plan.folder}")


def print_search(record: SearchRecord, console: Console) -> None:
    """Print the best trials, and the importance of each key."""
    synthetic = ", synthetic data" if record["synthetic"] else ""
    keys = list(record["space"])
    rows = [
        [
            str(trial["number"]),
            *(trial["values"].get(key, "") for key in keys),
            percent(trial["score"]) if trial["score"] is not None else trial["state"],
            number(trial["seconds"], 0),
        ]
        for trial in ranked(record)[:MOST_TRIALS]
    ]
    title = f"search {record['name']}: {counts_text(record)}{synthetic}"
    shown = f"; the best {len(rows)}" if len(rows) < len(record["trials"]) else ""
    score = f"{record['split']} {record['metric']}"
    console.table(f"{title}{shown}", ["trial", *column_names(keys), score, "time (s)"], rows)
    importances = record["importances"]
    if importances is None:
        console.print(f"importance of the keys: {NOT_MEASURED} ({record['no_importances']})")
    else:
        shares = [(key, percent(share, 0)) for key, share in importances.items()]
        console.key_values("share of each key in the variance of the scores (fANOVA)", shares)
    failed = next((trial for trial in record["trials"] if trial["state"] == "failed"), None)
    if failed is not None:
        console.warning(f"trial {failed['number']} failed: {first_line(failed['error'])}")


def write_report(plan: SearchPlan, console: Console) -> Path | None:
    """Write the page of the search, unless `report=false`."""
    if not plan.config.report:
        return None
    with track("writing the report"):
        path = report.write_search_report(plan.folder)
    console.print(f"report: {path}")
    return path
