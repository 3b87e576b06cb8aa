"""Print a comparison."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.console import Console
from kdrun.experiments.compare.significance import ALPHA
from kdrun.formatting import NOT_MEASURED, SYNTHETIC_NOTE, named_rows, number, percent, plural
from kdrun.reporting.tables import comparisons, domains, generated_text, metric_format, searches

if TYPE_CHECKING:
    from kdrun.data.dataset import TaskDataset
    from kdrun.experiments.compare.arms import Arm


def print_comparison(record: dict[str, Any], console: Console) -> None:
    """Print the scores of the arms, the verdicts, and notes on how to read them."""
    synthetic = ", synthetic data" if record["synthetic"] else ""
    tuning = "".join(f", {text}" for text in [searches.tuning_text(record)] if text)
    title = f"{record['split']} {record['metric']} on {record['data_name']}, student {record['student']}"
    title += f"{synthetic}{tuning}"
    console.table(
        title, ["arm", "mean ± sd", "retention", "time (s)", "steps"], [_arm_row(record, a) for a in record["arms"]]
    )
    console.key_values("each seed", [(arm["name"], _seed_scores(record, arm)) for arm in record["arms"]])
    if len(comparisons.distinct_teachers(record)) > 1:
        console.key_values("teacher of", [(arm["name"], _teacher(record, arm)) for arm in record["arms"]])
    elif record["teacher"]:
        score = metric_format.score(record["metric"], record["teacher"]["score"])
        console.print(f"teacher: {record['teacher']['name']}, {score}")
    _print_domains(record, console)
    if statistics := generated_text.statistic_rows(record):
        console.table("exported text, means over seeds", generated_text.COLUMNS, statistics)
    _print_verdicts(record, console)
    for line in notes(record):
        console.print(line)
    for arm in record["arms"]:
        for seed, error in arm["failed"].items():
            console.warning(f"{arm['name']}, seed {seed} failed: {error}")
    for line in record["uneven_steps"]:
        console.warning(line)
    for claim in record["claims"]:
        console.print(claim["text"])


def _print_verdicts(record: dict[str, Any], console: Console) -> None:
    """Print the table of verdicts, with a column for the intervals of TIES if some differ from the others."""
    unit = metric_format.difference_unit(record["metric"])
    columns = ["pair", f"difference ({unit})", "interval", "confidence", "verdict"]
    rows = [_pair_row(record, pair) for pair in record["pairs"]]
    if any(pair.get("tie_test") for pair in record["pairs"]):
        columns.insert(-1, "interval for TIES")
        for row, pair in zip(rows, record["pairs"], strict=True):
            row.insert(-1, _tie_interval(record, pair))
    console.table("verdicts", columns, rows)


def _pair_row(record: dict[str, Any], pair: dict[str, Any]) -> list[str]:
    """A pair of the table of verdicts."""
    confidence = NOT_MEASURED if pair["confidence"] is None else f"{100 * pair['confidence']:.3g} %"
    verdict = pair["word"] if pair["asked"] else f"{pair['word']} (not asked)"
    difference = metric_format.difference(record["metric"], pair["difference"], minus="-")
    return [f"{pair['a']} - {pair['b']}", difference, interval(record, pair["interval"]), confidence, verdict]


def _tie_interval(record: dict[str, Any], pair: dict[str, Any]) -> str:
    """The interval that decides TIES with its confidence; `same` where it is that of the verdict."""
    if not pair.get("tie_test"):
        return "same" if pair["interval"] else NOT_MEASURED
    return f"{interval(record, pair['tie_test']['interval'])} ({100 * pair['tie_test']['confidence']:.3g} %)"


def _teacher(record: dict[str, Any], arm: dict[str, Any]) -> str:
    teacher = arm["teacher"]
    if not teacher:
        return "none"
    return f"{teacher['name']} {teacher['lessons'] or ''} {metric_format.score(record['metric'], teacher['score'])}"


def _print_domains(record: dict[str, Any], console: Console) -> None:
    """Print the scores of teachers and arms by domain, for a task with domains."""
    names, rows = domains.domain_names(record), domains.domain_rows(record)
    if not rows:
        return
    values = [[*(row.by_domain[name][0] for name in names), row.mean[0]] for row in rows]
    cells = [
        [row.name, *(metric_format.score(record["metric"], value) for value in of_row)]
        for row, of_row in zip(rows, values, strict=True)
    ]
    title = f"{record['split']} {record['metric']} by domain, means over seeds"
    console.table(title, ["", *names, "mean"], cells)


def notes(record: dict[str, Any]) -> list[str]:
    """Sentences that explain the verdicts: reasons, margin, intervals, and the split that chose the checkpoint."""
    lines = [f"{p['a']} against {p['b']}: {p['reason']}" for p in record["pairs"] if p["reason"]]
    margin = metric_format.margin(record["metric"], record["margin"])
    lines.append(f"a tie: the interval is within {margin}; intervals {record['how']}")
    lines += metric_format.unit_notes([record["metric"]])
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
            "the probability of one or more wrong BEATS or LOSES among all claims is at most 5 %"
        )
        lines.append(
            "TIES is counted apart, with the same limit: only another TIES lowers the confidence that it needs, so a "
            "claim may be undecided although its interval for BEATS and LOSES is within the margin"
        )
    if others:
        lines.append(f"not asked: {plural(others, 'pair')}, each with a 95 % interval and no correction")
    return lines


def interval(record: dict[str, Any], ends: list[float] | None) -> str:
    """Format a confidence interval of a pair."""
    if ends is None:
        return NOT_MEASURED
    return " … ".join(metric_format.difference(record["metric"], end, minus="-") for end in ends)


def print_header(arms: list[Arm], seeds: list[int], data: TaskDataset, console: Console) -> None:
    """Print the data, the overrides that all arms share, those of each arm, and those that were left out."""
    source = SYNTHETIC_NOTE if data.synthetic else data.source
    rows = ", ".join(f"{name} {number_of}" for name, number_of in data.row_counts.items())
    facts = [("data", f"{data.display_name}: {rows} rows; {source}")]
    if data.reported_rows is not None:
        facts.append(("reported", named_rows(data.task.report_split, data.reported_rows)))
    if data.agreement_text is not None:
        facts.append(("agreement", named_rows(AGREEMENT_ROWS, data.agreement_text)))
    shared = [override for override in arms[0].overrides if all(override in arm.overrides for arm in arms)]
    if shared:
        facts.append(("all arms", shlex.join(shared)))
    facts += [(arm.name, shlex.join(o for o in arm.overrides if o not in shared) or "nothing more") for arm in arms]
    console.key_values(f"{len(arms)} arms with seeds {', '.join(map(str, seeds))}", facts)
    for arm in arms:
        for line in arm.left_out:
            console.note(f"{arm.method} {line}")


def _seed_scores(record: dict[str, Any], arm: dict[str, Any]) -> str:
    ended = [s for s in map(str, record["seeds"]) if s in arm["failed"] or s in arm["scores"]]
    scores = {seed: metric_format.score(record["metric"], score) for seed, score in arm["scores"].items()}
    return "  ".join("failed" if seed in arm["failed"] else scores[seed] for seed in ended)


def _arm_row(record: dict[str, Any], arm: dict[str, Any]) -> list[str]:
    steps = " + ".join(f"{role} {count}" for role, count in sorted(arm["steps"].items()))
    mean = metric_format.score_sd(record["metric"], arm["mean"], arm["sd"])
    return [arm["name"], mean, percent(arm["kept"]), number(arm["seconds"], 0), steps]
