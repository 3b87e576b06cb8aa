"""Claims of a comparison: directed pairs of arms."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdrun.errors import ConfigError, Problem, did_you_mean
from kdrun.formatting import count, plural
from kdrun.reporting.tables import comparisons, metric_format
from kdrun.reporting.tables.claims import OUTCOMES

if TYPE_CHECKING:
    from kdrun.experiments.compare.arms import Arm
    from kdrun.experiments.compare.options import CompareOptions

EXIT_CODES = {"contradicted": 3, "undecided": 4}
"""Outcome of a claim → exit code of `kdrun compare claims=…`, the worst outcome first."""
ITEM = re.compile(r"""(?:"[^"]*"|'[^']*'|\[[^\]]*\]|[^,"'\[])+""")
"""One claim of a list; a comma inside quotes or brackets does not end it."""
SIDES = re.compile(r"""((?:"[^"]*"|'[^']*'|[^>"'])+)>((?:"[^"]*"|'[^']*'|[^>"'])+)""")
QUOTING = "'claims=[mate_kd>kd]'"
"""How claims are written in a shell."""


@dataclass(frozen=True)
class Claim:
    """The claim that arm `a` beats arm `b`."""

    a: str
    b: str


def plan_claims(settings: CompareOptions, arms: Sequence[Arm]) -> list[Claim]:
    """The claims of a comparison: those of `claims=`, else every method against every baseline, else all pairs.

    Raises:
        ConfigError: lists all problems of `claims=`.
    """
    if settings.claims is not None:
        return _parse_claims(settings.claims, [arm.name for arm in arms])
    pairs = [(later, earlier) for earlier, later in itertools.combinations(arms, 2)]
    judged = [
        pair
        for pair in pairs
        if any(x.method in settings.method and y.method in settings.baselines for x, y in (pair, pair[::-1]))
    ]
    return [Claim(a.name, b.name) for a, b in judged or pairs]


def _parse_claims(text: str, names: Sequence[str]) -> list[Claim]:
    """The claims of a text such as `[a>b,c>d]`.

    Raises:
        ConfigError: lists all problems.
    """
    stripped = text.strip()
    inner = stripped[1:-1] if stripped.startswith("[") and stripped.endswith("]") else stripped
    items, problems, claims = [item.strip() for item in ITEM.findall(inner)], list[str](), list[Claim]()
    for item in filter(None, items):
        match = SIDES.fullmatch(item)
        if match is None:
            problems.append(f"{item!r} is not of the form A>B; in a shell, write quotes: {QUOTING}")
            continue
        a, b = (side.strip().strip("\"'") for side in match.groups())
        unknown = [_unknown_arm(name, names) for name in dict.fromkeys((a, b)) if name not in names]
        problems += unknown
        if a == b and not unknown:
            problems.append(f"{item}: an arm cannot beat itself; name two arms")
        elif not unknown and any({a, b} == {claim.a, claim.b} for claim in claims):
            problems.append(f"{item}: this pair is claimed twice; leave one of the claims out")
        elif not unknown:
            claims.append(Claim(a, b))
    if not items or not any(items):
        problems.append(f"no claim is named; name pairs of arms: {QUOTING}")
    if problems:
        raise ConfigError([Problem("claims", text, f"claims={text}: {problem}") for problem in problems])
    return claims


def _unknown_arm(name: str, names: Sequence[str]) -> str:
    several = [other for other in names if other.startswith(f"{name} ")]
    if several:
        return f"{name} has {plural(len(several), 'arm')}; name one: {', '.join(several)}"
    return f"no arm is named {name!r}{did_you_mean(name, names)} (arms: {', '.join(names)})"


def claim_record(pair: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """A claim of comparison.json: its arms, its outcome, and one sentence.

    Args:
        pair: the record of the pair a - b.
        record: the record of the comparison, as far as it is built.
    """
    return {"a": pair["a"], "b": pair["b"], "outcome": OUTCOMES[pair["word"]], "text": _sentence(pair, record)}


def _sentence(pair: dict[str, Any], record: dict[str, Any]) -> str:
    verb = {"BEATS": "beats", "LOSES": "loses to", "TIES": "ties with"}.get(pair["word"], "against")
    facts = []
    if pair["difference"] is not None:
        difference = metric_format.difference(record["metric"], pair["difference"])
        facts.append(f"{difference} {metric_format.difference_unit(record['metric'])}{_interval(pair, record)}")
    rows = record.get("rows_text") or f"{count(record['rows'])} {record['split']} rows"
    facts.append(f"{record['metric']} on {rows}")
    facts.append(plural(pair["seeds"], "seed"))
    outcome = OUTCOMES[pair["word"]]
    reasons = {
        "TIES": f"the difference is within {metric_format.margin(record['metric'], record['margin'])}, so ",
        "INCONCLUSIVE": "",
    }
    so_far = " so far" if comparisons.is_open(record, pair) else ""
    end = f"{reasons.get(pair['word'], '')}the claim is {outcome}{so_far}"
    reason = f" ({pair['reason']})" if outcome == "undecided" and pair["reason"] else ""
    return f"{pair['a']} {verb} {pair['b']} on {record['data_name']}: {', '.join(facts)}: {end}{reason}."


def _interval(pair: dict[str, Any], record: dict[str, Any]) -> str:
    """The interval as ` [+1.7, +4.4]`, with its level unless this is 95 %."""
    if pair["interval"] is None:
        return ""
    level = "" if pair["confidence"] == 0.95 else f" at {100 * pair['confidence']:.3g} %"
    ends = (metric_format.difference(record["metric"], end) for end in pair["interval"])
    return f" [{', '.join(ends)}]{level}"


def exit_code(record: dict[str, Any], settings: CompareOptions) -> int:
    """The exit code of a comparison: 1 if a run failed; with `claims=`, else that of the worst outcome."""
    if any(arm["failed"] for arm in record["arms"]):
        return 1
    outcomes = {claim["outcome"] for claim in record["claims"]}
    if settings.claims is None:
        return 0
    return next((code for outcome, code in EXIT_CODES.items() if outcome in outcomes), 0)
