"""Print a comparison."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from kdrun.console import Console
from kdrun.formatting import NOT_MEASURED, SYNTHETIC_NOTE, mean_sd, number, percent, signed
from kdrun.reporting.tables import comparisons, domains, generated_text

if TYPE_CHECKING:
    from kdrun.data.dataset import TaskDataset
    from kdrun.experiments.compare.arms import Arm


def print_comparison(record: dict[str, Any], console: Console) -> None:
    """Print the arms, the verdicts, and what they rest on."""
    synthetic = ", synthetic data" if record["synthetic"] else ""
    title = f"{record['split']} {record['metric']} on {record['data_name']}, student {record['student']}{synthetic}"
    console.table(title, ["arm", "mean ± sd", "kept", "train s", "steps"], [_arm(arm) for arm in record["arms"]])
    console.key_values("each seed", [(arm["name"], _each(arm, record["seeds"])) for arm in record["arms"]])
    if len(comparisons.distinct_teachers(record)) > 1:
        console.key_values("teacher of", [(arm["name"], _teacher(arm)) for arm in record["arms"]])
    elif record["teacher"]:
        console.print(f"teacher: {record['teacher']['name']}, {number(record['teacher']['score'])}")
    _domains(record, console)
    if made := generated_text.statistic_rows(record):
        console.table("text left behind, means over seeds", generated_text.COLUMNS, made)
    rows = [
        [f"{p['a']} - {p['b']}", signed(p["difference"], minus="-"), interval(p), p["word"]] for p in record["pairs"]
    ]
    console.table("verdicts", ["pair", "difference", "95 % interval", ""], rows)
    for line in notes(record):
        console.print(line)
    for arm in record["arms"]:
        for seed, error in arm["failed"].items():
            console.warning(f"{arm['name']}, seed {seed} failed: {error}")
    for line in record["uneven_steps"]:
        console.warning(line)


def _teacher(arm: dict[str, Any]) -> str:
    own = arm["teacher"]
    return f"{own['name']} {own['lessons'] or ''} {number(own['score'])}" if own else "none"


def _domains(record: dict[str, Any], console: Console) -> None:
    """The scores by domain of teachers and arms, where the task has domains."""
    names, rows = domains.domain_names(record), domains.domain_rows(record)
    if not rows:
        return
    shown = [[row.name, *(number(row.by_domain[name][0]) for name in names), number(row.mean[0])] for row in rows]
    title = f"{record['split']} {record['metric']} by domain, means over seeds"
    console.table(title, ["", *names, "mean"], shown)


def notes(record: dict[str, Any]) -> list[str]:
    """What the verdicts mean and rest on, as sentences."""
    lines = [f"{p['a']} against {p['b']}: {p['reason']}" for p in record["pairs"] if p["reason"]]
    lines.append(f"a tie: the interval lies within ± {record['margin']:g}; intervals {record['how']}")
    split, chosen = record["split"], record["chosen_on"]
    if chosen == split:
        lines.append(
            f"{split} chose the checkpoint and is the split reported: scores are a little too high for all arms alike"
        )
    else:
        chose = f"{chosen} chose the checkpoint" if chosen else "the last checkpoint counts, no split chose it"
        lines.append(f"{chose}; {split} ({record['rows']} rows) is reported")
    return lines


def interval(pair: dict[str, Any]) -> str:
    """Format the confidence interval of a pair."""
    ends = pair["interval"]
    return NOT_MEASURED if ends is None else " … ".join(signed(end, minus="-") for end in ends)


def print_header(arms: list[Arm], seeds: list[int], data: TaskDataset, console: Console) -> None:
    """Say what is compared, on what."""
    synthetic = SYNTHETIC_NOTE if data.synthetic else data.source
    rows = ", ".join(f"{name} {split.num_rows}" for name, split in data.all_splits.items())
    facts = [("data", f"{data.display_name}: {rows} rows; {synthetic}")]
    facts += [(arm.name, shlex.join(["kdrun", *arm.words])) for arm in arms]
    console.key_values(f"{len(arms)} arms with seeds {', '.join(map(str, seeds))}", facts)
    for arm in arms:
        for line in arm.left_out:
            console.note(f"{arm.method} {line}")


def _each(arm: dict[str, Any], seeds: list[int]) -> str:
    return "  ".join("failed" if str(s) in arm["failed"] else number(arm["scores"].get(str(s))) for s in seeds)


def _arm(arm: dict[str, Any]) -> list[str]:
    steps = " + ".join(f"{role} {count}" for role, count in sorted(arm["steps"].items()))
    return [arm["name"], mean_sd(arm["mean"], arm["sd"]), percent(arm["kept"]), number(arm["seconds"], 0), steps]
