"""Claims of the papers against the comparisons of a ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.formatting import NOT_MEASURED, count, join_words, plural
from kdrun.reporting.tables import claims, comparisons, metric_format, run_facts
from kdrun.reporting.tables.claim_findings import SELECTION, Finding, any_task, find, training_rows
from kdrun.reporting.tables.claim_projection import project, training_seconds
from kdrun.reporting.tables.paper_claims import PaperClaim, paper_claims
from kdrun.reporting.tables.published_values import TAGS
from kdrun.reporting.tables.render import TextTable, csv_number

Comparison = dict[str, Any]
NOT_RUN = "not run"
NBSP = "\N{NO-BREAK SPACE}"
COLUMNS = ["claim", "published", "here", "a − b", "verdict", "command"]
SHORT_COLUMNS = ["paper", "claim", "published", "here"]
MAX_ROWS, MAX_SEEDS = 10**6, 1000
"""Projections above these are not reachable."""


def make_table(records: Sequence[Comparison], methods: Sequence[str], digits: int) -> TextTable:
    """Build the table: per claim one row for each setting in which it was compared.

    Args:
        records: comparisons; those on synthetic data are left out.
        methods: only claims about these methods; empty for all.
        digits: decimals of a percentage.
    """
    real = [record for record in records if not record["synthetic"]]
    found = {claim: find(claim, real) for claim in _claims_of(methods)}
    shown = {claim: [finding for finding in findings if finding.is_shown] for claim, findings in found.items()}
    students = Counter(finding.record["student"] for findings in shown.values() for finding in findings)
    common = students.most_common(1)[0][0] if students else None
    rows, csv_rows, commands = [], [], dict[str, int]()
    for claim, findings in shown.items():
        published = claim.published_overall()
        name = f"{claim.paper}: {claim.text} `{claim.arms}`"
        if not findings:
            number = commands.setdefault(claim.command, len(commands) + 1)
            rows.append([name, published, NOT_RUN, NOT_MEASURED, NOT_RUN, f"[{number}]"])
            csv_rows.append(_csv_row(claim, None))
        for place, finding in enumerate(findings):
            number = commands.setdefault(any_task(finding.record["command"]), len(commands) + 1)
            cells = ["", ""] if place else [name, published]
            rows.append(
                [*cells, _here(finding, common), _difference(finding, digits), _verdict(finding), f"[{number}]"]
            )
            csv_rows.append(_csv_row(claim, finding))
    hidden = [finding for findings in found.values() for finding in findings if not finding.is_shown]
    listed = [finding for findings in shown.values() for finding in findings]
    table_notes = [*_notes(listed, common), *_left_out(hidden, len(records) - len(real)), *_published_notes(methods)]
    table_notes += [f"[{number}] `{command}`" for command, number in commands.items()]
    return TextTable(
        "Claims of the papers: differences in percentage points", COLUMNS, rows, csv_rows, table_notes, left=range(6)
    )


def make_short_table(records: Sequence[Comparison], methods: Sequence[str]) -> TextTable:
    """Build the table with one row per paper: its main claim, and the number of settings by verdict.

    Args:
        records: comparisons; those on synthetic data are left out.
        methods: only claims about these methods; empty for all.
    """
    rows, csv_rows = [], []
    real = [record for record in records if not record["synthetic"]]
    for claim in filter(lambda claim: claim.is_main, _claims_of(methods)):
        outcomes = Counter(finding.outcome for finding in find(claim, real) if finding.is_shown)
        counts = {outcome: outcomes[outcome] for outcome in dict.fromkeys(claims.OUTCOMES.values())}
        text = ", ".join(f"{outcome} in {number}" for outcome, number in counts.items() if number)
        here = f"{text} of {plural(sum(counts.values()), 'setting')}" if text else NOT_RUN
        rows.append([claim.paper, f"{claim.text} `{claim.arms}`", claim.published_overall(), here])
        csv_rows.append({"paper": claim.paper, "claim": claim.arms, **counts})
    return TextTable("Claims of the papers on real data", SHORT_COLUMNS, rows, csv_rows, [], left=range(4))


def _claims_of(methods: Sequence[str]) -> list[PaperClaim]:
    return [claim for claim in paper_claims() if not methods or {claim.a.method, claim.b.method} & {*methods}]


def _here(finding: Finding, common_student: str | None) -> str:
    """Return the setting of a comparison: task, metric, rows and seeds, and what differs from the other ones."""
    record, pair = finding.record, finding.pair
    rows = f"{count(record['rows'])} " if record.get("rows") else ""
    rows += "unlabeled " if record["split"] == AGREEMENT_ROWS else ""
    parts = [f"{run_facts.task_name(record)} {record['metric']}, {rows}rows"]
    parts.append(plural(pair["seeds"], "seed"))
    if training_rows(record) != "all":
        parts.append(f"trained on {training_rows(record)} of the rows")
    if record["student"] != common_student:
        parts.append(f"student {record['student'] or NOT_MEASURED}")
    if record.get("tuned"):
        parts.append(f"tuned by {plural(record['tuned'], 'trial')}")
    swept = [pair[side] for side in "ab" if " " in pair[side] and "domain_strategy=" not in pair[side]]
    return ", ".join([*(part.replace(" ", NBSP) for part in parts[:2]), *parts[2:], *swept])


def _difference(finding: Finding, digits: int) -> str:
    pair = finding.pair
    difference, *ends = (
        metric_format.difference(finding.record["metric"], value, digits, minus="-")
        for value in (pair["difference"], *pair["interval"])
    )
    interval = f",{NBSP}".join(ends)
    level = pair.get("confidence") or 0.95
    return f"{difference}{NBSP}[{interval}]{'' if level == 0.95 else f' at {100 * level:.3g} %'}"


def _verdict(finding: Finding) -> str:
    """Return the verdict; if undecided, with what would decide; with the arm that did not learn the task."""
    if not finding.asked:
        return "undecided (not asked)"
    remarks = [f"{name} at majority baseline" for name in finding.unlearned_arms]
    if finding.pair["word"] == "TIES":
        remarks.insert(0, f"a tie, {metric_format.margin(finding.record['metric'], finding.record['margin'])}")
    if finding.outcome == "undecided":
        remarks.insert(0, _remedy(finding))
    outcome = f"{finding.outcome} so far" if comparisons.is_open(finding.record, finding.pair) else finding.outcome
    return f"{outcome} ({'; '.join(remarks)})" if remarks else outcome


def _remedy(finding: Finding) -> str:
    """Return the projected rows, seeds and training time that would decide a claim."""
    pair, needed = finding.pair, finding.pair.get("seeds_needed") or 0
    if needed > pair["seeds"]:
        time = training_seconds(finding.record, pair, needed)
        return f"{plural(needed, 'seed')}{_training(time)}"
    projection = project(finding.record, pair)
    if projection is None:
        return pair.get("reason") or "near the limit"
    if projection.rows > MAX_ROWS or projection.seeds > MAX_SEEDS:
        return "no reachable number of rows and seeds would decide a difference this small"
    text = f"{_rounded(projection.rows)} rows, {plural(projection.seeds, 'seed')}{_training(projection.seconds)}"
    return text.replace(" ", NBSP)


def _training(seconds: float | None) -> str:
    """Return a training time as `, 1.2 h`; empty if it was not measured."""
    if seconds is None:
        return ""
    hours = seconds / 3600
    return f", {f'{hours:.1f}' if hours < 10 else f'{hours:.0f}'} h"


def _rounded(rows: int) -> str:
    """Return a number of rows with two significant digits."""
    size = 10 ** max(0, len(str(rows)) - 2)
    return count(-(-rows // size) * size)


def _notes(shown: list[Finding], common_student: str | None) -> Iterator[str]:
    records = list({finding.record["comparison_id"]: finding.record for finding in shown}.values())
    margins = dict.fromkeys(
        metric_format.margin(record["metric"], record["margin"])
        for record in records
        if record.get("margin") is not None
    )
    if margins:
        yield (
            f"supported: a is better. contradicted: a is worse, or ties with b (interval within {', '.join(margins)}). "
            "undecided: neither; in brackets the rows, seeds and training time of both arms that would decide with "
            "80 % power if the true difference is the measured one."
        )
    if common_student is not None:
        facts = [*_splits(shown), *_levels(records), *metric_format.unit_notes(record["metric"] for record in records)]
        selection = f"Student {common_student}, all training rows, untuned, unless named otherwise. {SELECTION}."
        yield " ".join([selection, *facts])


def _splits(shown: list[Finding]) -> Iterator[str]:
    """Name the rows that are reported, and the papers in whose comparisons they chose the checkpoint."""
    tasks: dict[str, dict[str, None]] = {}
    for finding in shown:
        tasks.setdefault(finding.record["split"], {})[run_facts.task_name(finding.record)] = None
    yield f"Rows: {'; '.join(f'{split} of {join_words(list(names))}' for split, names in tasks.items())}."
    choosing = dict.fromkeys(f.claim.paper for f in shown if f.record.get("chosen_on") == f.record["split"])
    if choosing:
        yield f"{join_words(list(choosing))}: these rows also chose the checkpoint of every arm."


def _levels(records: list[Comparison]) -> Iterator[str]:
    if any(record.get("claims") is None for record in records):
        yield "Comparisons of older versions: 95 % intervals of each pair, not corrected for several pairs."
    if any(len(record.get("claims") or []) > 1 for record in records):
        yield "Several claims of one comparison: Holm's correction."


def _left_out(hidden: list[Finding], num_synthetic: int) -> Iterator[str]:
    """Count by task what the table leaves out, with the reasons."""
    reasons = {
        "no arm is above the majority baseline by more than a tie": [f for f in hidden if not f.is_learned],
        "one seed has no interval": [f for f in hidden if f.is_learned],
    }
    parts = []
    for reason, findings in reasons.items():
        counts = Counter(run_facts.task_name(finding.record) for finding in findings)
        text = ", ".join(f"{plural(number, 'pair')} on {task}" for task, number in counts.items())
        parts += [f"{text} ({reason})"] if text else []
    parts += [f"{plural(num_synthetic, 'comparison')} on synthetic data"] if num_synthetic else []
    if parts:
        yield f"Left out: {'; '.join(parts)}."


def _published_notes(methods: Sequence[str]) -> Iterator[str]:
    """Name the settings of the published differences, and how they are known."""
    settings: dict[str, dict[str, None]] = {}
    for claim in _claims_of(methods):
        settings.setdefault(claim.paper, {})[claim.setting] = None
    texts = [f"{paper}, {'; '.join(of_paper)}" for paper, of_paper in settings.items()]
    tags = dict.fromkeys(tag for claim in _claims_of(methods) for tag in claim.tags)
    texts += ["; ".join(f"[{tag}] {TAGS[tag]}" for tag in tags)] if tags else []
    yield f"published: {'. '.join(texts)}."


def _csv_row(claim: PaperClaim, finding: Finding | None) -> dict[str, Any]:
    line: dict[str, Any] = {"paper": claim.paper, "claim": claim.arms, "published": claim.published_overall()}
    if finding is None:
        return line | {"verdict": NOT_RUN}
    pair, record = finding.pair, finding.record
    low, high = pair["interval"] or (None, None)
    line["published_on_task"] = claim.published_on(record["task"])
    line |= comparisons.csv_values(record) | {"rows": csv_number(record.get("rows"))}
    line |= {"trained_on": training_rows(record), "a": pair["a"], "b": pair["b"], "pair_seeds": pair["seeds"]}
    values = {"difference": pair["difference"], "low": low, "high": high}
    line |= {name: metric_format.csv_score(record["metric"], value) for name, value in values.items()}
    return line | {"asked": str(finding.asked).lower(), "verdict": finding.outcome, "command": record["command"]}
