"""Directional claims of the papers, with their published differences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import fmean
from typing import Any

from kdrun.formatting import NOT_MEASURED, signed
from kdrun.reporting.tables import comparisons, published_values
from kdrun.storage import yaml_reader

FILE = "paper_claims.yaml"
DOMAIN_TASKS = {"amazon": "Amazon", "mnli": "MNLI"}
"""Task by domain → its name in tables."""


@dataclass(frozen=True)
class Side:
    """The arms that a side of a claim means.

    Attributes:
        method: registered name of the method.
        teacher: training domains of the teacher; None for any.
    """

    method: str
    teacher: str | None = None

    def __str__(self) -> str:
        return self.method if self.teacher is None else f"{self.method} (teacher {self.teacher})"

    def matches(self, arm: dict[str, Any]) -> bool:
        """Return whether an arm of a comparison is of this side."""
        strategy = (arm.get("teacher") or {}).get("lessons")
        return comparisons.method_of(arm) == self.method and self.teacher in (None, strategy)


@dataclass(frozen=True, eq=False)
class PaperClaim:
    """The claim of a paper that one method gives a better student than another.

    Attributes:
        paper: name of the paper.
        source: name of the paper in reference_results.csv.
        text: the claim as one sentence.
        a: the side that is claimed to be better.
        b: the other side.
        rows: all or few, for comparisons with all or with fewer rows of the training split; None for both.
        published: rows of reference_results.csv, or the difference as text and its tag; empty if unknown.
        setting: models and data of the published difference.
        experiment: config that compares the arms.
        arguments: further arguments of this comparison.
        is_main: whether the claim represents its paper in the short table.
    """

    paper: str
    source: str
    text: str
    a: Side
    b: Side
    rows: str | None
    published: dict[str, Any]
    setting: str
    experiment: str
    arguments: str
    is_main: bool

    @property
    def arms(self) -> str:
        """The claim in the notation of `kdrun compare claims=`."""
        return f"{self.a} > {self.b}"

    @property
    def command(self) -> str:
        """The command that compares the arms."""
        arms = f"method={self.a.method} baselines={self.b.method}"
        return f"kdrun compare experiment={self.experiment} {arms} {self.arguments}"

    def differences(self) -> dict[str, tuple[float, str]]:
        """Return the published difference in points and its tag by task; domains are averaged. Empty if unknown."""
        if "a" not in self.published:
            return {}
        a, b = (published_values.rows_by_task(self.source, self.published[side]) for side in "ab")
        by_task: dict[str, list[float]] = {}
        for name in a.keys() & b.keys():
            by_task.setdefault(name.partition("_")[0], []).append(float(a[name].value) - float(b[name].value))
        tag = next(iter(a.values())).tag
        return {task: (fmean(values), tag) for task, values in sorted(by_task.items())}

    def published_on(self, task: str) -> str:
        """Return the published difference on a task, for example `+1.6 [check]`; n/a if unknown."""
        value = self.differences().get(task)
        return NOT_MEASURED if value is None else f"{_points(value[0])} [{value[1]}]"

    def published_overall(self) -> str:
        """Return the published difference, with the mean of several tasks; n/a if unknown."""
        if "text" in self.published:
            return f"{self.published['text']} [{self.published['tag']}]"
        differences = self.differences()
        if not differences:
            return NOT_MEASURED
        tag = next(iter(differences.values()))[1]
        if DOMAIN_TASKS.keys() >= differences.keys():  # each is a mean over domains
            parts = [f"{DOMAIN_TASKS[task]} {_points(value)}" for task, (value, _) in differences.items()]
            return f"{', '.join(parts)} [{tag}]"
        return f"{_points(fmean(value for value, _ in differences.values()))} [{tag}]"

    @property
    def tags(self) -> list[str]:
        """The tags of the published differences."""
        tags = [tag for _, tag in self.differences().values()]
        return list(dict.fromkeys([*tags, *([self.published["tag"]] if "tag" in self.published else [])]))


def _points(value: float) -> str:
    return signed(value, 1, minus="-")


@cache
def paper_claims() -> tuple[PaperClaim, ...]:
    """Return the claims of the papers, in the order of the file."""
    entries = yaml_reader.parse((files("kdrun.reporting.tables") / FILE).read_text("utf-8"))
    return tuple(
        PaperClaim(
            entry["paper"],
            entry["source"],
            entry["claim"],
            Side(entry["a"], entry.get("a_teacher")),
            Side(entry["b"], entry.get("b_teacher")),
            entry.get("rows"),
            entry.get("published") or {},
            entry["setting"],
            entry["experiment"],
            entry["arguments"],
            entry.get("main", False),
        )
        for entry in entries
    )
