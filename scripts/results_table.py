"""Print the results table of conf/experiment/README.md from the ledger lines of the published runs.

    scripts/results_table.py [LEDGER …]      default: conf/experiment/results.jsonl

A row is a task, a student and the settings that differ from the preset's; a cell is mean ± sample standard
deviation over seeds (how many) of the headline metric on the dev split, in percent. The difference is paired:
both runs of a seed start from the same student and see the same batches.
"""

from __future__ import annotations

import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

from kdrun.results import read_runs

PUBLISHED = Path(__file__).resolve().parent.parent / "conf" / "experiment" / "results.jsonl"
NOT_SETTINGS = ("method=", "task=", "seed=", "preset=", "student=", "data.dir=", "teacher.path=", "output_dir=")
COLUMNS = ("task", "metric", "student", "settings", "teacher", "finetune", "kd", "kd − finetune", "minutes a run")


def settings(run: dict[str, Any], *, of_method: bool) -> str:
    """What a run was given beyond the preset: of its method (`method.temperature=4`), or all else."""
    words = [w for w in shlex.split(run["command"])[1:] if not w.startswith(NOT_SETTINGS)]
    return " ".join(w for w in words if w.startswith("method.") == of_method)


def score(run: dict[str, Any], role: str = "student") -> float:
    """The headline score of a role in percent."""
    metric, split = run["headline"]["metric"], run["headline"]["split"]
    return 100 * run[role]["metrics"][split][metric]


def spread(values: list[float], sign: str = "") -> str:
    """Mean ± sd (n); no sd for a single value, n/a for none."""
    if not values:
        return "n/a"
    sd = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{sign}.1f}{sd} ({len(values)})"


def row(task: str, student: str, given: str, own: str, runs: list[dict[str, Any]]) -> str:
    """One line of the table: kd with the settings `own`, beside finetune on the same budget."""
    plain = {r["seed"]: r for r in runs if r["method"] == "finetune"}
    taught = {r["seed"]: r for r in runs if r["method"] == "kd" and settings(r, of_method=True) == own}
    both = sorted(plain.keys() & taught.keys())
    gaps = [score(taught[seed]) - score(plain[seed]) for seed in both]
    minutes = statistics.median(r["seconds"] for r in [*plain.values(), *taught.values()]) / 60
    teachers = sorted({f"{score(r, 'teacher'):.1f}" for r in taught.values()})
    cells = [task, runs[0]["headline"]["metric"], student, " ".join(filter(None, (given, own))) or "preset"]
    cells += [", ".join(teachers), spread([score(r) for r in plain.values()])]
    cells += [spread([score(r) for r in taught.values()]), spread(gaps, "+"), f"{minutes:.1f}"]
    return f"| {' | '.join(cells)} |"


def table(runs: list[dict[str, Any]]) -> str:
    """The Markdown table of finished runs."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for run in (run for run in runs if run["status"] == "done"):
        key = (run["data_name"], run["student"]["name"], settings(run, of_method=False))
        groups.setdefault(key, []).append(run)
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for (task, student, given), members in groups.items():
        owns = dict.fromkeys(settings(r, of_method=True) for r in members if r["method"] == "kd")
        lines += [row(task, student, given, own, members) for own in owns]
    return "\n".join(lines)


if __name__ == "__main__":
    found = [run for path in (sys.argv[1:] or [PUBLISHED]) for run in read_runs(Path(path))]
    sys.stdout.write(table(found) + "\n")
