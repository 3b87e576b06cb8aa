"""Print a comparison."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from kdrun.console import Console
from kdrun.experiments.compare.significance import ALPHA
from kdrun.formatting import NOT_MEASURED, SYNTHETIC_NOTE, named_rows, number, percent, percent_sd, plural, points
from kdrun.reporting.tables import comparisons, domains, generated_text, searches

if TYPE_CHECKING:
    from kdrun.data.dataset import TaskDataset
    from kdrun.experiments.compare.arms import Arm


def print_comparison(record: dict[str, Any], console: Console) -> None:
    """Print the scores of the arms, the verdicts, and notes on how to read them."""
    synthetic = ", synthetic data" if record["synthetic"] else ""
    tuning = "".join(f", {text}" for text in [searches.tuning_text(record)] if text)
    title = f"{record['split']} {record['metric']} on {record['data_name']}, student {record['student']}"
    title += f"{synthetic}{tuning}"
    console.table(title, ["arm", "mean ± sd", "retention", "time (s)", "steps"], [_arm_row(a) for a in record["arms"]])
    console.key_values("each seed", [(arm["name"], _seed_scores(arm, record["seeds"])) for arm in record["arms"]])
    if len(comparisons.distinct_teachers(record)) > 1:
        console.key_values("teacher of", [(arm["name"], _teacher(arm)) for arm in record["arms"]])
    elif record["teacher"]:
        console.print(f"teacher: {record['teacher']['name']}, {percent(record['teacher']['score'])}")
    _print_domains(record, console)
    if statistics := generated_text.statistic_rows(record):
        console.table("exported text, means over seeds", generated_text.COLUMNS, statistics)
    rows = [_pair_row(pair) for pair in record["pairs"]]
    console.table("verdicts", ["pair", "difference (points)", "interval", "confidence", "verdict"], rows)
    for line in notes(record):
        console.print(line)
    for arm in record["arms"]:
        for seed, error in arm["failed"].items():
            console.warning(f"{arm['name']}, seed {seed} failed: {error}")
    for line in record["uneven_steps"]:
        console.warning(line)
    for claim in record["claims"]:
        console.print(claim["text"])


def _pair_row(pair: dict[str, Any]) -> list[str]:
    """A pair of the table of verdicts."""
    confidence = NOT_MEASURED if pair["confidence"] is None else f"{100 * pair['confidence']:.3g} %"
    verdict = pair["word"] if pair["asked"] else f"{pair['word']} (not asked)"
    return [f"{pair['a']} - {pair['b']}", points(pair["difference"], minus="-"), interval(pair), confidence, verdict]


def _teacher(arm: dict[str, Any]) -> str:
    teacher = arm["teacher"]
    return f"{teacher['name']} {teacher['lessons'] or ''} {percent(teacher['score'])}" if teacher else "none"


def _print_domains(record: dict[str, Any], console: Console) -> None:
    """Print the scores of teachers and arms by domain, for a task with domains."""
    names, rows = domains.domain_names(record), domains.domain_rows(record)
    if not rows:
        return
    cells = [[row.name, *(percent(row.by_domain[name][0]) for name in names), percent(row.mean[0])] for row in rows]
    title = f"{record['split']} {record['metric']} by domain, means over seeds"
    console.table(title, ["", *names, "mean"], cells)


def notes(record: dict[str, Any]) -> list[str]:
    """Sentences that explain the verdicts: reasons, margin, intervals, and the split that chose the checkpoint."""
    lines = [f"{p['a']} against {p['b']}: {p['reason']}" for p in record["pairs"] if p["reason"]]
    lines.append(f"a tie: the interval is within ± {100 * record['margin']:g} points; intervals {record['how']}")
    lines += _correction_notes(record)
    split, choosing_split = record["split"], record["chosen_on"]
    if choosing_split == split:
        lines.append(
            f"{split} chose the checkpoint and is the split reported: the scores of all arms are a little too high"
        )
    else:
        choice = (
            f"{choosing_split} chose the checkpoint"
            if choosing_split
            else "the last checkpoint is evaluated, no split chose it"
        )
        lines.append(f"{choice}; {split} ({record.get('rows_text') or plural(record['rows'], 'row')}) is reported")
    return [*lines, *searches.search_notes(record)]


def _correction_notes(record: dict[str, Any]) -> list[str]:
    """Sentences on Holm's correction, and on pairs that were not asked."""
    claims, others = len(record["claims"]), sum(not pair["asked"] for pair in record["pairs"])
    sequential = record.get("sequential")
    lines = []
    if sequential:
        lines.append(
            f"looks after each seed from {sequential['first_look']} to {sequential['max_seeds']}, "
            f"{sequential['rule']}; the confidence of an interval holds over all looks"
        )
    if claims > 1:
        lines.append(
            f"Holm's correction for {claims} claims: the first verdict needs a confidence of "
            f"{100 * (1 - ALPHA / claims):.3g} %, and each verdict lowers what the others need, down to 95 %; so "
            "the probability of one or more wrong BEATS or LOSES among all claims is at most 5 %, and likewise for TIES"
        )
    if others:
        lines.append(f"not asked: {plural(others, 'pair')}, each with a 95 % interval and no correction")
    return lines


def interval(pair: dict[str, Any]) -> str:
    """Format the confidence interval of a pair."""
    ends = pair["interval"]
    return NOT_MEASURED if ends is None else " … ".join(points(end, minus="-") for end in ends)


def print_header(arms: list[Arm], seeds: list[int], data: TaskDataset, console: Console) -> None:
    """Print the data, the overrides that all arms share, those of each arm, and those that were left out."""
    source = SYNTHETIC_NOTE if data.synthetic else data.source
    rows = ", ".join(f"{name} {split.num_rows}" for name, split in data.all_splits.items())
    facts = [("data", f"{data.display_name}: {rows} rows; {source}")]
    if data.reported_rows is not None:
        facts.append(("reported", named_rows(data.task.report_split, data.reported_rows)))
    shared = [override for override in arms[0].overrides if all(override in arm.overrides for arm in arms)]
    if shared:
        facts.append(("all arms", shlex.join(shared)))
    facts += [(arm.name, shlex.join(o for o in arm.overrides if o not in shared) or "nothing more") for arm in arms]
    console.key_values(f"{len(arms)} arms with seeds {', '.join(map(str, seeds))}", facts)
    for arm in arms:
        for line in arm.left_out:
            console.note(f"{arm.method} {line}")


def _seed_scores(arm: dict[str, Any], seeds: list[int]) -> str:
    ended = [s for s in map(str, seeds) if s in arm["failed"] or s in arm["scores"]]
    return "  ".join("failed" if seed in arm["failed"] else percent(arm["scores"][seed]) for seed in ended)


def _arm_row(arm: dict[str, Any]) -> list[str]:
    steps = " + ".join(f"{role} {count}" for role, count in sorted(arm["steps"].items()))
    return [arm["name"], percent_sd(arm["mean"], arm["sd"]), percent(arm["kept"]), number(arm["seconds"], 0), steps]
