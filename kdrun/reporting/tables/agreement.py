"""Agreement with the teacher and retention, of data-free students."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.formatting import NOT_MEASURED, count, percent, plural
from kdrun.reporting.tables import comparisons, published_values, run_facts
from kdrun.reporting.tables.claim_findings import any_task, training_rows
from kdrun.reporting.tables.published_values import TAGS
from kdrun.reporting.tables.render import TextTable, csv_percent

Comparison = dict[str, Any]
METRIC = "agreement"
DATA_FREE = ("kd_ood", "zskd", "dfkd_t3")
"""Methods that learn without the task's rows."""
COLUMNS = [
    "task",
    "arm",
    "agreement with the teacher",
    "retention of its score",
    "majority baseline",
    "published",
    "command",
]


@dataclass
class Row:
    """An arm in one setting.

    Attributes:
        record: the latest comparison of the arm.
        arm: its entry there.
        agreement: the latest comparison by agreement, and its entry; None without one.
        retention: the latest comparison with its retention, and its entry; one with an interval before others.
        commands: commands of these comparisons.
    """

    record: Comparison
    arm: dict[str, Any]
    agreement: tuple[Comparison, dict[str, Any]] | None = None
    retention: tuple[Comparison, dict[str, Any]] | None = None
    commands: list[str] = field(default_factory=list)


def make_table(records: Sequence[Comparison], methods: Sequence[str], digits: int) -> TextTable:
    """Build the table: one row per task, student and arm.

    Args:
        records: comparisons, oldest first; those on synthetic data are left out.
        methods: only arms of these methods; empty for all.
        digits: decimals of a percentage.
    """
    all_rows = [row for row in _rows(records) if not methods or comparisons.method_of(row.arm) in methods]
    found = [row for row in all_rows if _reason_to_hide(row) is None]
    students = Counter(row.record["student"] for row in found)
    common = students.most_common(1)[0][0] if students else None
    rows, csv_rows, commands, tags = [], [], dict[str, int](), dict[str, None]()
    for row in found:
        published = _published(row)
        tags |= dict.fromkeys([published[1]] if published else [])
        numbers = [commands.setdefault(any_task(command), len(commands) + 1) for command in row.commands]
        cells = [_task(row.record, common), row.arm["name"], _agreement(row, digits), _retention(row, digits)]
        cells.append(percent(_majority(row), digits, unit=""))
        cells.append(f"{published[0]} [{published[1]}]" if published else NOT_MEASURED)
        rows.append([*cells, " ".join(f"[{number}]" for number in dict.fromkeys(numbers))])
        csv_rows.append(_csv_row(row))
    notes = [
        *_notes(found, common, tags),
        *_left_out(all_rows),
        *(f"[{number}] `{command}`" for command, number in commands.items()),
    ]
    return TextTable("Percent, means over seeds", COLUMNS, rows, csv_rows, notes, left=range(7))


def has_rows(record: Comparison) -> bool:
    """Return whether a comparison has arms for the table."""
    return any(_is_listed(record, arm) for arm in record["arms"])


def _is_listed(record: Comparison, arm: dict[str, Any]) -> bool:
    """Return whether an arm has a row: by agreement any arm, otherwise a data-free method without a swept setting."""
    is_of_table = record["metric"] == METRIC or arm["name"] in DATA_FREE
    return is_of_table and not record["synthetic"] and arm["mean"] is not None


def _rows(records: Sequence[Comparison]) -> list[Row]:
    """Return the arms of comparisons by agreement, and the data-free arms of others; later ones replace earlier."""
    rows: dict[tuple[Any, ...], Row] = {}
    for record in records:
        for arm in (arm for arm in record["arms"] if _is_listed(record, arm)):
            setting = (run_facts.task_name(record), record["student"], training_rows(record), arm["name"])
            row = rows.setdefault(setting, Row(record, arm))
            row.record, row.arm = record, arm
            if record["metric"] == METRIC:
                row.agreement = (record, arm)
            if _has_retention(record, arm) and _rank(record, arm) >= (_rank(*row.retention) if row.retention else 0):
                row.retention = (record, arm)
    for row in rows.values():
        row.commands = [found[0]["command"] for found in (row.agreement, row.retention) if found]
    return [rows[setting] for setting in sorted(rows, key=_order)]


def _order(setting: tuple[Any, ...]) -> tuple[Any, ...]:
    task, student, trained_on, name = setting
    return task, student or "", trained_on, DATA_FREE.index(name) if name in DATA_FREE else len(DATA_FREE), name


def _has_retention(record: Comparison, arm: dict[str, Any]) -> bool:
    return bool(arm.get("retention")) or (record["metric"] != METRIC and arm["kept"] is not None)


def _rank(record: Comparison, arm: dict[str, Any]) -> int:
    """Return 2 for a retention with an interval, 1 for one without, 0 for none."""
    if not _has_retention(record, arm):
        return 0
    return 2 if (arm.get("retention") or {}).get("interval") else 1


def _task(record: Comparison, common_student: str | None) -> str:
    task = run_facts.task_name(record)
    return task if record["student"] == common_student else f"{task}, student {record['student'] or NOT_MEASURED}"


def _interval(ends: list[float] | None, digits: int) -> str:
    return "" if ends is None else f" [{', '.join(percent(end, digits, unit='') for end in ends)}]"


def _agreement(row: Row, digits: int) -> str:
    if row.agreement is None:
        return NOT_MEASURED
    record, arm = row.agreement
    rows = f"{count(record['rows'])} " if record.get("rows") else ""
    rows += "unlabeled " if record["split"] == AGREEMENT_ROWS else ""
    text = f"{percent(arm['mean'], digits, unit='')}{_interval(arm.get('interval'), digits)}"
    return f"{text} ({rows}rows, {plural(len(arm['scores']), 'seed')})"


def _retention(row: Row, digits: int) -> str:
    """Return the retention with its interval, the metric and the teacher's score."""
    if row.retention is None:
        return NOT_MEASURED
    record, arm = row.retention
    measured = arm.get("retention") or {"value": arm["kept"], "interval": None} | _headline(record)
    text = f"{percent(measured['value'], digits, unit='')}{_interval(measured['interval'], digits)}"
    rows = f"{count(measured['rows'])} " if measured.get("rows") else ""
    seeds = plural(len(arm["scores"]), "seed")
    return f"{text} ({measured['metric']}, {rows}rows, {seeds})"


def _majority(row: Row) -> float | None:
    """Return the retention of always predicting the most frequent class; None if unknown."""
    if row.retention is None:
        return None
    record, arm = row.retention
    if arm.get("retention"):
        return arm["retention"]["majority"]
    guess, teacher = record.get("guess"), (arm.get("teacher") or record.get("teacher") or {}).get("score")
    return guess / teacher if guess is not None and teacher else None


def _value(row: Row) -> float | None:
    """Return the retention of an arm; None without one."""
    arm = row.retention[1] if row.retention else {}
    return (arm.get("retention") or {"value": arm.get("kept")})["value"]


def _reason_to_hide(row: Row) -> str | None:
    """Return why a row without agreement says nothing; None if it does."""
    value, majority = _value(row), _majority(row)
    if row.agreement is not None:
        return None
    if len(row.arm["scores"]) < 2:
        return "one seed"
    if value is None:
        return "no teacher's score"
    return "not above the majority baseline" if majority is not None and value <= majority else None


def _left_out(rows: list[Row]) -> Iterator[str]:
    """Name the rows that the table leaves out, by reason."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if (reason := _reason_to_hide(row)) is not None:
            by_reason.setdefault(reason, []).append(f"{run_facts.task_name(row.record)} {row.arm['name']}")
    texts = [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]
    if texts:
        yield f"Left out: {'; '.join(texts)}."


def _headline(record: Comparison) -> dict[str, Any]:
    return {"metric": record["metric"], "split": record["split"], "rows": record.get("rows")}


def _published(row: Row) -> tuple[str, str] | None:
    """Return the published retention of the method on the task, and its tag; None if unknown."""
    method, task = comparisons.method_of(row.arm), row.record["task"]
    values = [published_values.rows_by_task(method, name).get(task) for name in (method, "teacher")]
    student, teacher = values
    if student is None or teacher is None:
        return None
    return percent(float(student.value) / float(teacher.value), unit=""), student.tag


def _notes(rows: list[Row], common_student: str | None, tags: dict[str, None]) -> Iterator[str]:
    facts = [] if common_student is None else [f"Student {common_student} unless named otherwise."]
    facts.append(
        "agreement: share of rows with the teacher's class, of labeled rows unless named unlabeled. retention: the "
        "student's score divided by the teacher's; majority baseline: that of always predicting the most frequent "
        "class."
    )
    pairs = [found for row in rows for found in (row.agreement, row.retention) if found]
    if any(arm.get("interval") or (arm.get("retention") or {}).get("interval") for _, arm in pairs):
        facts.append("[…]: 95 % interval over seeds and examples; for retention, of both models on the same examples.")
    if any(row.retention and _rank(*row.retention) == 1 for row in rows):
        facts.append("Retention without an interval: from a comparison of an older version.")
    if any(row.agreement is None for row in rows):
        facts.append("agreement n/a: no comparison with metric=agreement yet.")
    if tags:
        facts.append(f"published: {'; '.join(f'[{tag}] {TAGS[tag]}' for tag in tags)}.")
    yield " ".join(facts)


def _csv_row(row: Row) -> dict[str, Any]:
    line = comparisons.csv_values(row.record) | {"arm": row.arm["name"]}
    low, high = (row.agreement and row.agreement[1].get("interval")) or (None, None)
    line |= {"agreement": csv_percent(row.agreement[1]["mean"] if row.agreement else None)}
    line |= {"agreement_low": csv_percent(low), "agreement_high": csv_percent(high)}
    measured = (row.retention[1].get("retention") if row.retention else None) or {}
    low, high = measured.get("interval") or (None, None)
    line |= {"retention": csv_percent(_value(row)), "majority": csv_percent(_majority(row))}
    return line | {"retention_low": csv_percent(low), "retention_high": csv_percent(high)}
