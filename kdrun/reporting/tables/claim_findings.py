"""Comparisons that say something about the claims of the papers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kdrun.formatting import count
from kdrun.reporting.tables import claims, comparisons, metric_format, run_facts
from kdrun.reporting.tables.paper_claims import PaperClaim

Comparison = dict[str, Any]
SELECTION = (
    "Of comparisons in one setting the latest counts, after those asked about the claim, with an arm that learned the "
    "task, and with an interval"
)


@dataclass(frozen=True)
class Finding:
    """A comparison that says something about a claim of a paper.

    Attributes:
        claim: the claim.
        record: the comparison.
        pair: difference a − b with its interval and verdict.
        asked: whether the comparison was asked about this pair.
    """

    claim: PaperClaim
    record: Comparison
    pair: dict[str, Any]
    asked: bool

    @property
    def outcome(self) -> str:
        """Supported, contradicted or undecided; a pair that was not asked about decides nothing."""
        return claims.OUTCOMES[self.pair["word"]] if self.asked else "undecided"

    @property
    def unlearned_arms(self) -> list[str]:
        """The arms of the pair that are not above the majority baseline by more than the margin of a tie."""
        guess, margin = self.record.get("guess"), self.record.get("margin") or 0.0
        means = {arm["name"]: arm["mean"] for arm in self.record["arms"]}
        if guess is None:
            return []
        sign = -1 if metric_format.is_lower_better(self.record["metric"]) else 1
        return [self.pair[s] for s in "ab" if sign * (means[self.pair[s]] - guess) <= margin]

    @property
    def is_learned(self) -> bool:
        """Whether at least one arm learned the task."""
        return len(self.unlearned_arms) < 2

    @property
    def setting(self) -> tuple[str, ...]:
        """Facts by which comparisons of a claim differ; of those with equal facts, one counts."""
        record = self.record
        names = (self.pair["a"], self.pair["b"])
        return run_facts.task_name(record), record["metric"], record["student"] or "", training_rows(record), *names

    @property
    def rank(self) -> tuple[bool, bool, bool, bool, float]:
        """Order of the comparisons of one setting; the last one counts."""
        is_final = not comparisons.is_open(self.record, self.pair)
        return self.asked, self.is_learned, self.pair["interval"] is not None, is_final, self.record["started"]

    @property
    def is_shown(self) -> bool:
        """Whether the comparison can say something about the claim: an arm learned the task, in two seeds or more."""
        return self.is_learned and self.pair["interval"] is not None


def training_rows(record: Comparison) -> str:
    """Return how many rows of the training split a comparison used: `all`, `1 000` or `1 %`."""
    data = (record.get("config") or {}).get("data") or {}
    rows, fraction = data.get("max_train_rows"), data.get("train_fraction")
    if rows is not None:
        return count(rows)
    return "all" if fraction in (None, 1) else f"{100 * fraction:g} %"


def any_task(command: str) -> str:
    """Return a command without the name of its task, so that the same command for several tasks is listed once."""
    return re.sub(r"(?<= )task=\w+", "task=TASK", command)


def find(claim: PaperClaim, records: Sequence[Comparison]) -> list[Finding]:
    """Return one finding per setting on a claim, by the rule `SELECTION`."""
    chosen: dict[tuple[str, ...], Finding] = {}
    for record in records:
        if claim.rows is not None and (training_rows(record) == "all") != (claim.rows == "all"):
            continue
        for finding in _findings(claim, record):
            previous = chosen.get(finding.setting)
            if previous is None or finding.rank >= previous.rank:
                chosen[finding.setting] = finding
    return [chosen[setting] for setting in sorted(chosen)]


def _findings(claim: PaperClaim, record: Comparison) -> Iterator[Finding]:
    for a in filter(claim.a.matches, record["arms"]):
        for b in filter(claim.b.matches, record["arms"]):
            pair = claims.oriented_pair(record, a["name"], b["name"])
            if pair is not None and pair["difference"] is not None:
                yield Finding(claim, record, pair, claims.is_asked(record, a["name"], b["name"]))
