"""Comparisons by domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdrun.formatting import NOT_MEASURED
from kdrun.reporting.tables import comparisons, metric_format, published_values
from kdrun.reporting.tables.published_values import TAGS, Published
from kdrun.reporting.tables.render import TextTable

Comparison = dict[str, Any]
Mean = tuple[float | None, float | None]
"""A mean from 0 to 1 and its standard deviation over seeds; None where unknown."""


@dataclass(frozen=True)
class Row:
    """Scores of a teacher or an arm by domain.

    Attributes:
        name: name of the row: `teacher mixed`, or the arm's name.
        by_domain: score on each domain.
        mean: unweighted mean over the domains.
        published: paper and row with the same setting; None where there is none.
        method: method of the arm; None for a teacher.
    """

    name: str
    by_domain: dict[str, Mean]
    mean: Mean
    published: tuple[str, str] | None
    method: str | None


def domain_rows(record: Comparison) -> list[Row]:
    """Return the distinct teachers of a comparison, then its arms; empty if its task has no domains."""
    arms = [arm for arm in record["arms"] if arm.get("by_domain")]
    arm_by_teacher: dict[tuple[Any, ...], dict[str, Any]] = {}
    for arm in arms:
        if arm.get("teacher"):
            arm_by_teacher.setdefault(comparisons.teacher_key(arm["teacher"]), arm)
    num_teachers = Counter(arm["teacher"]["lessons"] for arm in arm_by_teacher.values())
    rows = []
    for arm in arm_by_teacher.values():
        teacher, strategy = arm["teacher"], arm["teacher"]["lessons"]
        name = f"teacher {strategy}" if strategy and num_teachers[strategy] == 1 else f"teacher of {arm['name']}"
        published = published_values.TEACHERS.get(strategy) if _is_as_published(arm) else None
        scores: dict[str, Mean] = {domain: (value["mean"], None) for domain, value in teacher["by_domain"].items()}
        rows.append(Row(name, scores, (teacher["score"], None), published, None))
    for arm in arms:
        method, strategy = comparisons.method_of(arm), arm["teacher"]["lessons"] if arm.get("teacher") else ""
        published = (
            published_values.STUDENTS.get((method, strategy))
            if _is_as_published(arm) and arm.get("domain") == "all"
            else None
        )
        scores = {domain: (value["mean"], value["sd"]) for domain, value in arm["by_domain"].items()}
        rows.append(Row(arm["name"], scores, (arm["mean"], arm["sd"]), published, method))
    return rows


def domain_names(record: Comparison) -> list[str]:
    """Return the domains of a comparison's task, in its order."""
    return list(dict.fromkeys(name for arm in record["arms"] for name in arm.get("by_domain") or {}))


def published_value(record: Comparison, row: Row, domain: str) -> Published | None:
    """Return the published value for a row; None for synthetic data and where the paper has none."""
    if row.published is None or record["synthetic"]:
        return None
    return published_values.row_value(row.published, f"{record['task']}_{domain}", record["metric"], record["split"])


def make_table(records: list[Comparison], methods: list[str], digits: int, *, with_published: bool) -> TextTable:
    """Build the table: one row per comparison and teacher or arm.

    Args:
        records: records of comparisons; those on tasks without domains are left out.
        methods: only arms of these methods, and all teachers; empty for all.
        digits: decimals of a percentage.
        with_published: whether published values are shown below the row with the same setting.
    """
    records = [record for record in records if domain_names(record)]
    domains = list(dict.fromkeys(name for record in records for name in domain_names(record)))
    lines, csv_rows, tags = [], [], {}
    for record in records:
        shared = comparisons.leading_cells(record)
        for row in domain_rows(record):
            if methods and row.method is not None and row.method not in methods:
                continue
            values = [*(row.by_domain.get(name) for name in domains), row.mean]
            lines.append([*shared, row.name, *(_text(record, value, digits) for value in values)])
            csv_rows += _csv_rows(record, row)
            published = (
                {name: value for name in domains if (value := published_value(record, row, name))}
                if with_published
                else {}
            )
            if published:
                tags |= dict.fromkeys(value.tag for value in published.values())
                values = [published[name].value if name in published else NOT_MEASURED for name in domains]
                lines.append(
                    [*shared, f"{row.name}, published", *values, _published_mean(published, domain_names(record))]
                )
    columns = [*comparisons.SHARED[:5], "row", *domains, "mean"]
    notes = [*_notes(records), *(_about_paper(tags) if with_published else [])]
    return TextTable(comparisons.caption(records), columns, lines, csv_rows, notes, left=range(6))


def _is_as_published(arm: dict[str, Any]) -> bool:
    """Return whether an arm has the rows of the paper: no fewer rows, no held-out domain."""
    settings = dict(override.lstrip("+").split("=", 1) for override in arm["words"] if "=" in override)
    return not any(
        settings.get(key, default) not in (default, "null")
        for key, default in published_values.UNPUBLISHED_SETTINGS.items()
    )


def _text(record: Comparison, value: Mean | None, digits: int) -> str:
    mean, sd = value or (None, None)
    return metric_format.score_sd(record["metric"], mean, sd, digits, unit=False)


def _published_mean(published: dict[str, Published], domains: list[str]) -> str:
    """Average the published values to two decimals, since the mean may end in a half; n/a if a domain is missing."""
    if not all(name in published for name in domains):
        return NOT_MEASURED
    return f"{sum(float(published[name].value) for name in domains) / len(domains):.2f}"


def _csv_rows(record: Comparison, row: Row) -> Iterator[dict[str, Any]]:
    """Yield a row as lines of the CSV, one per domain and one for their mean; scores in percent."""
    for domain, (mean, sd) in {**row.by_domain, "mean": row.mean}.items():
        published = published_value(record, row, domain)
        line = comparisons.csv_values(record) | {"row": row.name, "domain": domain}
        line |= {k: metric_format.csv_score(record["metric"], v) for k, v in (("mean", mean), ("sd", sd))}
        yield line | {"paper": published.value if published else "", "tag": published.tag if published else ""}


def _notes(records: list[Comparison]) -> Iterator[str]:
    yield "mean: the unweighted mean over the domains. Teachers have no deviation over seeds: each is trained once."
    yield from comparisons.notes(records)
    yield from comparisons.failures(records)


def _about_paper(tags: dict[str, None]) -> Iterator[str]:
    sources = "".join(f"; [{tag}] {TAGS[tag]}" for tag in tags)
    yield (
        "published: values of the paper for the same method, with the paper's models and budget; their mean is the "
        f"mean of the values shown{sources}. Other rows and synthetic data have no published values."
    )
