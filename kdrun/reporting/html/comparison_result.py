"""First screen of a comparison: claims, plot and effort."""

from __future__ import annotations

from typing import Any

from kdrun.formatting import NOT_MEASURED, count, duration, join_words, plural
from kdrun.reporting.html import agreement
from kdrun.reporting.html.arms import RunGroup, color_key
from kdrun.reporting.html.blocks import Block, Code, Facts, Panels, Text, VerdictLine, Verdicts
from kdrun.reporting.html.interval_plots import Row, differences, dots
from kdrun.reporting.html.plots import WIDE, WIDTH
from kdrun.reporting.tables import comparisons, metric_format, searches
from kdrun.reporting.tables.claims import Claim, asked_claims, confidence


def result_blocks(record: dict[str, Any], groups: list[RunGroup]) -> list[Block]:
    """Build the first screen: a sentence per claim, scores and differences as one plot, and the effort.

    Args:
        record: the comparison.
        groups: its arms, with their names and colors in plots.
    """
    claims = asked_claims(record)
    blocks: list[Block] = [Verdicts([VerdictLine(_chip(record, claim), claim.text) for claim in claims])]
    if not claims:
        blocks = [Text("No pair was compared: a comparison needs two arms with finished runs.", "lead")]
    plot = _plot(record, groups, claims)
    blocks += [*color_key(groups), plot] if plot else [Text("n/a (no run finished).")]
    return [*blocks, Facts(effort(record)), Code(record.get("command") or NOT_MEASURED)]


def _chip(record: dict[str, Any], claim: Claim) -> str:
    """Return the label of a claim: its outcome; for records of older versions the verdict on the pair."""
    if record.get("claims") is None and claim.pair is not None:
        return claim.pair["word"]
    return claim.outcome.upper()


def _plot(record: dict[str, Any], groups: list[RunGroup], claims: list[Claim]) -> Panels | None:
    """Plot each arm's scores by seed, and next to them the difference of each claim; None without a score."""
    labels = {group.name: group.label for group in groups}
    level, teacher = record.get("confidence"), record.get("teacher")
    rows = []
    for place, arm in enumerate(record["arms"]):
        values = [value for value in arm["scores"].values() if value is not None]
        if values:
            interval = agreement.interval(values, level) if level is not None else None
            rows.append(Row(labels[arm["name"]], values, arm["mean"], interval, place))
    if not rows:
        return None
    pairs = [pair_row(claim.pair, labels, _chip(record, claim).lower()) for claim in claims if claim.pair]
    pairs = [row for row in pairs if row is not None]
    title = f"{record['metric']} on {record['split']}"
    line = ("teacher", teacher["score"]) if teacher and teacher["score"] is not None else None
    plots = [dots(title, rows, line, record["metric"], width=WIDTH if pairs else WIDE)]
    caption = (
        f"Dots: seeds; diamond: their mean; line: {confidence(record)} interval of the mean over seeds (Student's t), "
        "cut off where it is much wider than the range of the scores."
    )
    if pairs:
        plots.append(differences(f"differences of {title}", pairs, record.get("margin"), record["metric"]))
        unit = metric_format.difference_unit(record["metric"])
        caption += f" Differences: {unit} with their intervals; an interval within the band is a tie."
    return Panels(f"{title}, and differences of the arms" if pairs else title, plots, caption)


def pair_row(pair: dict[str, Any], labels: dict[str, str], note: str = "") -> Row | None:
    """Return the row of a pair in a plot; None without a difference."""
    if pair["difference"] is None:
        return None
    interval = (pair["interval"][0], pair["interval"][1]) if pair["interval"] else None
    return Row(f"{labels[pair['a']]} − {labels[pair['b']]}", [], pair["difference"], interval, note=note)


def effort(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of the first screen: data, models, runs, training time and tuning."""
    rows = record.get("rows_text") or (f"{count(record['rows'])} rows" if record.get("rows") else None)
    training = sum((arm["seconds"] or 0) * len(arm["scores"]) for arm in record["arms"])
    facts = [
        ("judged on", ", ".join(filter(None, [record.get("data_name") or record["task"], record["split"], rows]))),
        ("runs", _runs(record)),
        ("training", duration(training) if training else NOT_MEASURED),
        ("student", record.get("student") or NOT_MEASURED),
        ("teacher", _teacher(record)),
        ("tuning", tuning(record)),
    ]
    rule = sequential_rule(record)
    return [*facts, ("seeds added", rule)] if rule else facts


def _runs(record: dict[str, Any]) -> str:
    """Return the number of finished runs, and the seeds of each arm."""
    counts = {arm["name"]: sum(score is not None for score in arm["scores"].values()) for arm in record["arms"]}
    failed = sum(len(arm.get("failed") or {}) for arm in record["arms"])
    text = plural(sum(counts.values()), "run") + (f", {failed} more failed" if failed else "")
    if len(set(counts.values())) == 1:
        return f"{text}: {plural(len(counts), 'arm')}, {plural(next(iter(counts.values())), 'seed')} each"
    seeds = [f"{name} {plural(number_of, 'seed')}" for name, number_of in counts.items()]
    return f"{text}: {join_words(seeds)}"


def _teacher(record: dict[str, Any]) -> str:
    teachers = comparisons.distinct_teachers(record) or ([record["teacher"]] if record.get("teacher") else [])
    scores = [metric_format.score(record["metric"], teacher["score"]) for teacher in teachers]
    names = [
        " ".join(part for part in (teacher["name"], teacher.get("lessons"), score) if part)
        for teacher, score in zip(teachers, scores, strict=True)
    ]
    return join_words(names) if names else "none"


def tuning(record: dict[str, Any]) -> str:
    """Return how the settings of the arms were chosen."""
    search = record.get("search")
    if search is not None:
        return f"{record['arms'][-1]['name']}: best of {plural(search['trials'], 'trial')} on {search['split']}"
    return searches.tuning_text(record)


def sequential_rule(record: dict[str, Any]) -> str | None:
    """Return when seeds were added and by which rule; None if their number was fixed."""
    sequential = record.get("sequential")
    if sequential is None:
        return None
    return f"until decided, from {sequential['first_look']} to at most {sequential['max_seeds']}: {sequential['rule']}"
