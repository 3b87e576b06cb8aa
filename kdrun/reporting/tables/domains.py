"""Comparisons by domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdrun.formatting import NOT_MEASURED, mean_sd
from kdrun.reporting.tables import comparisons, published_values, run_facts
from kdrun.reporting.tables.published_values import TAGS, Published
from kdrun.reporting.tables.render import TextTable, csv_percent

Comparison = dict[str, Any]
Mean = tuple[float | None, float | None]
"""A mean from 0 to 1 and its standard deviation over seeds; None where it is not known."""


@dataclass(frozen=True)
class Row:
    """A teacher or an arm, domain by domain.

    Attributes:
        name: what the row is called: `teacher mixed`, or the arm's name.
        by_domain: its score on each domain.
        mean: its score, the plain mean over the domains.
        published: the row of the paper's results that is the same; None where there is none.
        method: of the arm; None for a teacher.
    """

    name: str
    by_domain: dict[str, Mean]
    mean: Mean
    published: tuple[str, str] | None
    method: str | None


def rows(one: Comparison) -> list[Row]:
    """The teachers of a comparison, each once, then its arms; none where its task has no domains."""
    arms = [arm for arm in one["arms"] if arm.get("by_domain")]
    taught: dict[tuple[Any, ...], dict[str, Any]] = {}
    for arm in arms:
        if arm["teacher"]:
            taught.setdefault(comparisons.teacher_key(arm["teacher"]), arm)
    many = Counter(arm["teacher"]["lessons"] for arm in taught.values())
    made = []
    for arm in taught.values():
        teacher, lessons = arm["teacher"], arm["teacher"]["lessons"]
        name = f"teacher {lessons}" if lessons and many[lessons] == 1 else f"teacher of {arm['name']}"
        known = published_values.TEACHERS.get(lessons) if _is_as_published(arm) else None
        once: dict[str, Mean] = {domain: (value["mean"], None) for domain, value in teacher["by_domain"].items()}
        made.append(Row(name, once, (teacher["score"], None), known, None))
    for arm in arms:
        method, lessons = comparisons.method_of(arm), arm["teacher"]["lessons"] if arm["teacher"] else ""
        known = (
            published_values.STUDENTS.get((method, lessons))
            if _is_as_published(arm) and arm["domain"] == "all"
            else None
        )
        own = {domain: (value["mean"], value["sd"]) for domain, value in arm["by_domain"].items()}
        made.append(Row(arm["name"], own, (arm["mean"], arm["sd"]), known, method))
    return made


def names(one: Comparison) -> list[str]:
    """The domains of a comparison's task, in its order."""
    return list(dict.fromkeys(name for arm in one["arms"] for name in arm.get("by_domain") or {}))


def published(one: Comparison, row: Row, domain: str) -> Published | None:
    """The paper's value beside a row; None for synthetic rows and where the paper has none."""
    if row.published is None or one["synthetic"]:
        return None
    return published_values.value(row.published, f"{one['task']}_{domain}", one["metric"], one["split"])


def make_table(found: list[Comparison], methods: list[str], digits: int, *, beside: bool) -> TextTable:
    """One row a comparison and teacher or arm.

    Args:
        found: comparisons; those on tasks without domains are left out.
        methods: only arms of these, and all teachers; all arms if there are none.
        digits: decimals of a percentage.
        beside: whether the paper's values stand below those of the same row.
    """
    found = [one for one in found if names(one)]
    domains = list(dict.fromkeys(name for one in found for name in names(one)))
    lines, records, tags = [], [], {}
    for one in found:
        shared = [run_facts.task_name(one), one["metric"], one["student"] or NOT_MEASURED, comparisons.settings_of(one)]
        shared.append(", ".join(str(seed) for seed in one["seeds"]))
        for row in rows(one):
            if methods and row.method is not None and row.method not in methods:
                continue
            cells = [_text(row.by_domain.get(name), digits) for name in domains]
            lines.append([*shared, row.name, *cells, _text(row.mean, digits)])
            records += _records(one, row)
            known = {name: value for name in domains if (value := published(one, row, name))} if beside else {}
            if known:
                tags |= dict.fromkeys(value.tag for value in known.values())
                shown = [known[name].value if name in known else NOT_MEASURED for name in domains]
                lines.append([*shared, f"{row.name}, published", *shown, _published_mean(known, names(one))])
    columns = [*comparisons.SHARED[:5], "row", *domains, "mean"]
    notes = [*_notes(found), *(_about_paper(tags) if beside else [])]
    return TextTable(comparisons.caption(found), columns, lines, records, notes, left=range(6))


def _is_as_published(arm: dict[str, Any]) -> bool:
    """Whether nothing of an arm's words changes what its rows are compared with: fewer rows, a domain held out."""
    given = dict(word.lstrip("+").split("=", 1) for word in arm["words"] if "=" in word)
    return not any(given.get(key, none) not in (none, "null") for key, none in published_values.OTHER_ROWS.items())


def _text(value: Mean | None, digits: int) -> str:
    mean, sd = value or (None, None)
    return mean_sd(mean, sd, digits, scale=100)


def _published_mean(known: dict[str, Published], wanted: list[str]) -> str:
    """The mean of the published values, to two decimals as it may end in a half; n/a where a domain is missing."""
    if not all(name in known for name in wanted):
        return NOT_MEASURED
    return f"{sum(float(known[name].value) for name in wanted) / len(wanted):.2f}"


def _records(one: Comparison, row: Row) -> Iterator[dict[str, Any]]:
    """A row as lines of the CSV, one a domain and one for their mean; scores in percent."""
    for domain, (mean, sd) in {**row.by_domain, "mean": row.mean}.items():
        known = published(one, row, domain)
        line = comparisons.values(one) | {"row": row.name, "domain": domain}
        line |= {"mean": csv_percent(mean), "sd": csv_percent(sd)}
        yield line | {"paper": known.value if known else "", "tag": known.tag if known else ""}


def _notes(found: list[Comparison]) -> Iterator[str]:
    yield "mean: the plain mean over the domains. A teacher's spread over seeds is none: it is trained once."
    yield from comparisons.notes(found)
    yield from comparisons.failures(found)


def _about_paper(tags: dict[str, None]) -> Iterator[str]:
    told = "".join(f"; [{tag}] {TAGS[tag]}" for tag in tags)
    yield (
        "published: of the paper's row that is the same, with its own models and budget; its mean is that of the "
        f"values shown{told}. Rows without one have none, nor has synthetic data."
    )
