"""Claims of a comparison: the pairs that it was asked to judge."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from kdrun.formatting import NOT_MEASURED, plural
from kdrun.reporting.tables import comparisons, metric_format, run_facts

Comparison = dict[str, Any]
OUTCOMES = {"BEATS": "supported", "LOSES": "contradicted", "TIES": "contradicted", "INCONCLUSIVE": "undecided"}
"""Verdict on a − b → outcome of the claim that a is better than b."""
REVERSED = {"BEATS": "LOSES", "LOSES": "BEATS"}
"""Verdict on a − b → verdict on b − a; the others are their own reverse."""
DEFAULT_BASELINES = "finetune,kd"
"""`baselines=` of a command without this option."""


@dataclass(frozen=True)
class Claim:
    """The claim that arm `a` is better than arm `b`, and what a comparison says about it.

    Attributes:
        a: name of the arm that is claimed to be better.
        b: name of the other arm.
        outcome: supported, contradicted or undecided.
        text: the outcome as one sentence.
        pair: difference a − b with its interval and verdict; None if the comparison has no such pair.
    """

    a: str
    b: str
    outcome: str
    text: str
    pair: dict[str, Any] | None


def asked_claims(record: Comparison) -> list[Claim]:
    """Return the claims of a comparison, in the order of its record.

    Records of older versions have none. There, every method of `method=` is claimed to be better than every baseline,
    as by default today; without such a pair, every pair counts.
    """
    if record.get("claims") is not None:
        return [
            Claim(
                claim["a"], claim["b"], claim["outcome"], claim["text"], oriented_pair(record, claim["a"], claim["b"])
            )
            for claim in record["claims"]
        ]
    return [
        Claim(pair["a"], pair["b"], OUTCOMES[pair["word"]], pair_sentence(pair, record), pair)
        for pair in _default_pairs(record)
    ]


def _default_pairs(record: Comparison) -> list[dict[str, Any]]:
    """Return the pairs of a method and a baseline, by the command of the comparison; all pairs if there are none."""
    overrides = run_facts.typed_overrides(record["command"])
    methods = overrides.get("method", "").split(",")
    baselines = overrides.get("baselines", DEFAULT_BASELINES).split(",")
    arms = {arm["name"]: comparisons.method_of(arm) for arm in record["arms"]}
    pairs: dict[frozenset[str], dict[str, Any]] = {}
    for a, b in itertools.permutations(arms, 2):
        if arms[a] in methods and arms[b] in baselines and arms[a] != arms[b]:
            pair = oriented_pair(record, a, b)
            if pair is not None:
                pairs.setdefault(frozenset((a, b)), pair)
    return list(pairs.values()) or record["pairs"]


def oriented_pair(record: Comparison, a: str, b: str) -> dict[str, Any] | None:
    """Return the pair of two arms as a − b; None if the comparison lacks it."""
    for pair in record["pairs"]:
        if (pair["a"], pair["b"]) == (a, b):
            return pair
        if (pair["a"], pair["b"]) == (b, a):
            difference, interval = pair["difference"], pair["interval"]
            return pair | {
                "a": a,
                "b": b,
                "difference": None if difference is None else -difference,
                "interval": _negated(interval),
                "tie_test": (tie := pair.get("tie_test")) and tie | {"interval": _negated(tie["interval"])},
                "word": REVERSED.get(pair["word"], pair["word"]),
            }
    return None


def _negated(interval: list[float] | None) -> list[float] | None:
    return None if interval is None else [-interval[1], -interval[0]]


def is_asked(record: Comparison, a: str, b: str) -> bool:
    """Return whether a comparison was asked about two arms, in either direction; older records about all pairs."""
    if record.get("claims") is None:
        return True
    return any({claim["a"], claim["b"]} == {a, b} for claim in record["claims"])


def pair_sentence(pair: dict[str, Any], record: Comparison) -> str:
    """Describe the verdict on a pair in one sentence."""
    verb = {"BEATS": "beats", "TIES": "ties with", "LOSES": "loses to"}.get(pair["word"], "against")
    metric = record["metric"]
    unit = f" {metric_format.difference_unit(metric)} of {metric}" if pair["difference"] is not None else ""
    text = f"{pair['a']} {verb} {pair['b']}: difference {metric_format.difference(metric, pair['difference'])}{unit}"
    if pair["interval"] is None:
        text += f", interval n/a ({plural(pair['seeds'], 'seed')} in common)"
    else:
        interval = " to ".join(metric_format.difference(metric, end) for end in pair["interval"])
        text += f", {confidence(record, pair)} interval {interval}, {plural(pair['seeds'], 'seed')}"
    needed, reason = pair.get("seeds_needed"), pair.get("reason")
    text += f"; {reason}" if reason else ""
    if not needed or f"about {needed} seeds" in (reason or ""):
        return f"{text}."
    return f"{text}. About {plural(needed, 'seed')} would decide."


def confidence(record: Comparison, pair: dict[str, Any] | None = None) -> str:
    """Return the confidence level of a pair's interval in percent; by default that of the comparison."""
    level = (pair or {}).get("confidence") or record.get("confidence")
    return NOT_MEASURED if level is None else f"{100 * level:.3g} %"
