"""Verdicts on claims look by look, from the runs that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kdrun.experiments.compare import family
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.family import OPEN, Judgment
from kdrun.experiments.compare.scores import NO_SEED, Scores
from kdrun.experiments.compare.sequential import Looks
from kdrun.experiments.compare.significance import MIN_SEEDS, Estimate


@dataclass(frozen=True)
class Look:
    """A look at the claims that were open before it.

    Attributes:
        seeds: the largest seed, counted from one.
        claims: indices of the claims.
        estimates: of these claims; a text says why there is none.
        judged: all claims after the look.
    """

    seeds: int
    claims: list[int]
    estimates: list[Estimate | str]
    judged: Judgment


@dataclass
class Replay:
    """A family of claims after all looks that the ended runs allow.

    Attributes:
        judged: outcomes and levels.
        estimates: of each claim at the look that decided it, else at the last look; a text says why there is none.
        looks: the looks so far.
        missing: the runs that the next look needs, as (arm, seed); empty if all claims are decided or the last look is
            past.
    """

    judged: Judgment
    estimates: list[Estimate | str]
    looks: list[Look] = field(default_factory=list)
    missing: list[tuple[str, int]] = field(default_factory=list)


def judge_once(claims: Sequence[Claim], scores: Scores, margin: float) -> Replay:
    """Judge a family of claims by all common seeds, once."""
    estimates = [scores.estimate(claim) for claim in claims]
    return Replay(family.judge(Judgment.before((len(claims),)), stack(estimates), margin), estimates)


def replay(claims: Sequence[Claim], scores: Scores, seeds: Sequence[int], margin: float, looks: Looks) -> Replay:
    """Judge a family of claims look by look, as far as the runs of the open claims have ended.

    Seeds that an arm has beyond the look are not used, so a repeated command has the same verdicts.

    Args:
        claims: the claims.
        scores: of the ended runs.
        seeds: all seeds that may be used, in the order of the looks.
        margin: differences within ± margin count as a tie.
        looks: first and last look.
    """
    state = Replay(Judgment.before((len(claims),)), [NO_SEED] * len(claims))
    for count in range(looks.first, looks.last + 1):
        open_claims = [i for i in range(len(claims)) if state.judged.codes[i] == OPEN]
        if state.looks:  # an arm that fails with every seed decides nothing
            open_claims = [i for i in open_claims if state.estimates[i] != NO_SEED]
        arms = dict.fromkeys(name for i in open_claims for name in (claims[i].a, claims[i].b))
        used = seeds[:count]
        state.missing = [(arm, seed) for seed in used for arm in arms if not scores.has_ended(arm, seed)]
        if state.missing or not open_claims:
            return state
        for i in open_claims:
            state.estimates[i] = scores.estimate(claims[i], used)
        state.judged = family.judge(
            state.judged, stack(state.estimates), margin, looks.half_width, max(MIN_SEEDS, looks.first)
        )
        state.looks.append(Look(count, open_claims, [state.estimates[i] for i in open_claims], state.judged))
    return state


def stack(estimates: Sequence[Estimate | str]) -> Estimate:
    """The estimates of several claims as arrays, [claims]; NaN where there is none."""
    rows = [(np.nan, np.nan, np.nan, 2) if isinstance(e, str) else tuple(vars(e).values()) for e in estimates]
    return Estimate(*np.array(rows, float).reshape(len(rows), 4).T)
