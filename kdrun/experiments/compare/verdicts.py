"""Verdicts on the pairs of arms of a comparison, as records."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from kdrun.experiments.compare import family, significance
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.replay import Replay, stack
from kdrun.experiments.compare.scores import Scores
from kdrun.experiments.compare.significance import Estimate, Verdict
from kdrun.storage.serialization import to_plain


def judge_pairs(
    claims: Sequence[Claim], state: Replay, names: Sequence[str], scores: Scores, margin: float, how: str
) -> list[dict[str, Any]]:
    """The records of all pairs of arms: the claims with Holm's correction, then the other pairs, each alone.

    Args:
        claims: the claims.
        state: their outcomes.
        names: names of all arms.
        scores: of the finished runs.
        margin: differences within ± margin count as a tie.
        how: how the intervals are computed.
    """
    pairs = []
    for i, claim in enumerate(claims):
        estimate = state.estimates[i]
        verdict = verdict_on(estimate, state.judged, i)
        record = _pair_record(claim, verdict, scores, how) | {"asked": True, "variance": _variance(estimate)}
        pairs.append(record | {"tie_test": _tie_test(verdict, state.judged, i, scores.sign)})
    asked = {frozenset((claim.a, claim.b)) for claim in claims}
    for a, b in itertools.combinations(names, 2):
        if frozenset((a, b)) not in asked:
            claim = Claim(b, a)
            estimate = scores.estimate(claim)
            record = _pair_record(claim, decide_alone(estimate, margin), scores, how)
            pairs.append(record | {"asked": False, "variance": _variance(estimate)})
    return pairs


def decide_alone(estimate: Estimate | str, margin: float) -> Verdict | str:
    """The verdict on a pair that is not part of a family, or the reason why it has no interval."""
    return verdict_on(estimate, family.judge(family.Judgment.before((1,)), stack([estimate]), margin), 0)


def verdict_on(estimate: Estimate | str, judged: family.Judgment, i: int) -> Verdict | str:
    """The verdict on claim `i` of a family, or the reason why it has no interval."""
    if isinstance(estimate, str):
        return estimate
    outcome = family.WORDS[judged.codes[i]]
    return significance.explain(estimate, outcome, float(judged.half_widths[i]), float(judged.levels[i]))


def _tie_test(verdict: Verdict | str, judged: family.Judgment, i: int, sign: int) -> dict[str, Any] | None:
    """The interval that decides TIES of claim `i`, and its confidence; None if it is that of the verdict."""
    if isinstance(verdict, str) or verdict.interval is None:
        return None
    half_width, level = float(judged.tie_half_widths[i]), float(judged.tie_levels[i])
    if half_width == float(judged.half_widths[i]) and level == verdict.level:
        return None
    difference = sign * verdict.difference
    ends = [difference - half_width, difference + half_width]
    return to_plain({"interval": ends, "confidence": round(1 - level, 6)})


def _variance(estimate: Estimate | str) -> dict[str, float] | None:
    """The variances of a pair: of the mean difference over examples, and of the difference over seeds."""
    if isinstance(estimate, str):
        return None
    return {"examples": float(estimate.from_examples), "seeds": float(estimate.from_seeds)}


def _pair_record(claim: Claim, verdict: Verdict | str, scores: Scores, how: str) -> dict[str, Any]:
    pair: dict[str, Any] = {"a": claim.a, "b": claim.b, "how": how}
    if isinstance(verdict, str):
        seeds, difference = len(scores.common_seeds(claim)), scores.mean_difference(claim)
        no_interval = {"interval": None, "word": "INCONCLUSIVE", "seeds_needed": None, "reason": verdict}
        return pair | to_plain({"seeds": seeds, "difference": difference, "confidence": None}) | no_interval
    return pair | to_plain(
        {
            "seeds": verdict.num_seeds,
            "difference": scores.sign * verdict.difference,
            "confidence": round(1 - verdict.level, 6),
            "interval": verdict.interval and sorted(scores.sign * end for end in verdict.interval),
            "word": verdict.outcome,
            "seeds_needed": verdict.seeds_needed,
            "reason": verdict.reason,
        }
    )
