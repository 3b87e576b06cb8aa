"""Print the results table of conf/experiment/README.md from the ledger lines of the published runs.

    scripts/results_table.py [LEDGER …]      default: conf/experiment/results.jsonl

One row a task and student; a cell is mean ± sample standard deviation over seeds (how many) of the headline
metric on the dev split, in percent. Runs that differ in data, preset, teacher score or code are never averaged.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from kdrun.results import read_runs

PUBLISHED = Path(__file__).resolve().parent.parent / "conf" / "experiment" / "results.jsonl"
METHODS = ("finetune", "kd")


def score(run: dict[str, Any], role: str) -> float:
    """The headline score of a role in percent."""
    metric, split = run["headline"]["metric"], run["headline"]["split"]
    return 100 * run[role]["metrics"][split][metric]


def cell(runs: list[dict[str, Any]]) -> str:
    """Mean ± sd (n) of the students' scores; no sd for a single run."""
    values = [score(run, "student") for run in runs]
    if not values:
        return "n/a"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread} ({len(values)})"


def table(runs: list[dict[str, Any]]) -> str:
    """The Markdown table of finished runs."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        if run["status"] == "done":
            name = run["data_name"]
            groups[name, run["headline"]["metric"], run["student"]["name"], run["preset"]].append(run)
    lines = [
        "| task | metric (dev) | student | teacher | finetune | kd | kd − finetune | minutes a run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (task, metric, student, _), members in groups.items():
        by_method = {m: [run for run in members if run["method"] == m] for m in METHODS}
        tops = {round(score(run, "teacher"), 1) for run in by_method["kd"]}
        means = {m: statistics.mean(score(r, "student") for r in by_method[m]) for m in METHODS if by_method[m]}
        gap = f"{means['kd'] - means['finetune']:+.1f}" if len(means) == 2 else "n/a"
        cells = " | ".join(cell(by_method[m]) for m in METHODS)
        minutes = statistics.median(run["seconds"] for run in members) / 60
        teacher = ", ".join(f"{top:.1f}" for top in sorted(tops)) or "n/a"
        lines.append(f"| {task} | {metric} | {student} | {teacher} | {cells} | {gap} | {minutes:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    found = [run for path in (sys.argv[1:] or [PUBLISHED]) for run in read_runs(Path(path))]
    sys.stdout.write(table(found) + "\n")
