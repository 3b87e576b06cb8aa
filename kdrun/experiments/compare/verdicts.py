"""Verdicts on the pairs of arms of a comparison."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdrun.experiments.compare import family, significance
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.significance import Array, Estimate, Verdict
from kdrun.storage.serialization import to_plain


@dataclass(frozen=True)
class Scores:
    """Scores of the finished runs of a comparison.

    Attributes:
        values: (arm, seed) → score on the reported rows; None where it is undefined.
        resampled: (arm, seed) → scores on bootstrap resamples of these rows, [resamples].
    """

    values: dict[tuple[str, int], float | None]
    resampled: dict[tuple[str, int], Array]

    def common_seeds(self, a: str, b: str) -> list[int]:
        """The seeds that both arms finished."""
        seeds = [{seed for arm, seed in self.values if arm == name} for name in (a, b)]
        return sorted(seeds[0] & seeds[1])

    def estimate(self, claim: Claim, seeds: Sequence[int]) -> Estimate | str:
        """The mean difference of a pair over these seeds, or the reason why there is none."""
        if not seeds:
            return "no seed was finished by both"
        return significance.estimate(
            np.array([self._difference(claim, seed) for seed in seeds]),
            np.stack([self.resampled[claim.a, seed] - self.resampled[claim.b, seed] for seed in seeds], axis=1),
        )

    def mean_difference(self, claim: Claim, seeds: Sequence[int]) -> float | None:
        """The mean difference of a pair over these seeds; None without seeds, NaN with an undefined score."""
        return float(np.mean([self._difference(claim, seed) for seed in seeds])) if seeds else None

    def _difference(self, claim: Claim, seed: int) -> float:
        a, b = (self.values[name, seed] for name in (claim.a, claim.b))
        return np.nan if a is None or b is None else a - b


def judge_pairs(claims: Sequence[Claim], names: Sequence[str], scores: Scores, margin: float, how: str) -> list[Any]:
    """The records of all pairs of arms: the claims with Holm's correction, then the other pairs, each alone.

    Args:
        claims: the claims.
        names: names of all arms.
        scores: of the finished runs.
        margin: differences within ± margin count as a tie.
        how: how the intervals are computed.
    """
    asked = {frozenset((claim.a, claim.b)) for claim in claims}
    others = [Claim(b, a) for a, b in itertools.combinations(names, 2) if frozenset((a, b)) not in asked]
    seeds = {claim: scores.common_seeds(claim.a, claim.b) for claim in (*claims, *others)}
    estimates = [scores.estimate(claim, seeds[claim]) for claim in claims]
    judged = family.judge(family.Judgment.before((len(claims),)), stack(estimates), margin)
    verdicts = [verdict_on(estimate, judged, i) for i, estimate in enumerate(estimates)]
    verdicts += [decide_alone(scores.estimate(claim, seeds[claim]), margin) for claim in others]
    return [
        _pair_record(claim, verdict, scores, seeds[claim], how) | {"asked": i < len(claims)}
        for i, (claim, verdict) in enumerate(zip([*claims, *others], verdicts, strict=True))
    ]


def decide_alone(estimate: Estimate | str, margin: float) -> Verdict | str:
    """The verdict on a pair that is not part of a family, or the reason why it has no interval."""
    return verdict_on(estimate, family.judge(family.Judgment.before((1,)), stack([estimate]), margin), 0)


def verdict_on(estimate: Estimate | str, judged: family.Judgment, i: int) -> Verdict | str:
    """The verdict on claim `i` of a family, or the reason why it has no interval."""
    if isinstance(estimate, str):
        return estimate
    outcome = family.WORDS[judged.codes[i]]
    return significance.explain(estimate, outcome, float(judged.nominal[i]), float(judged.levels[i]))


def stack(estimates: Sequence[Estimate | str]) -> Estimate:
    """The estimates of several claims as arrays, [claims]; NaN where there is none."""
    rows = [(np.nan, np.nan, np.nan, 2) if isinstance(e, str) else tuple(vars(e).values()) for e in estimates]
    return Estimate(*np.array(rows, float).reshape(len(rows), 4).T)


def _pair_record(
    claim: Claim, verdict: Verdict | str, scores: Scores, seeds: Sequence[int], how: str
) -> dict[str, Any]:
    pair: dict[str, Any] = {"a": claim.a, "b": claim.b, "seeds": len(seeds), "how": how}
    if isinstance(verdict, str):
        no_interval = {"interval": None, "word": "INCONCLUSIVE", "seeds_needed": None, "reason": verdict}
        return pair | to_plain({"difference": scores.mean_difference(claim, seeds), "confidence": None}) | no_interval
    return pair | to_plain(
        {
            "difference": verdict.difference,
            "confidence": round(1 - verdict.level, 6),
            "interval": verdict.interval,
            "word": verdict.outcome,
            "seeds_needed": verdict.seeds_needed,
            "reason": verdict.reason,
        }
    )
