"""Verdicts on a family of claims, with Holm's correction.

Each claim may end in BEATS, LOSES or TIES. Wrong ones are counted in two families, each with its own 5 %:

- BEATS and LOSES reject that the difference is zero. A claim is tested at the level 5 % / (claims without such a
  verdict), so the first at 5 % / m, and every BEATS or LOSES raises the level of the others (Holm 1979). The
  probability of one or more wrong BEATS or LOSES is at most 5 %.
- TIES rejects that the difference is outside ± margin. The same holds for these verdicts, counted apart.

The families are apart because a claim decided by TIES could still have been a wrong BEATS: were it to raise the level
of the others, two claims could be wrong in up to 7.5 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kdrun.experiments.compare.significance import ALPHA, MIN_SEEDS, Array, Estimate, Outcome

WORDS: tuple[Outcome, ...] = ("INCONCLUSIVE", "BEATS", "LOSES", "TIES")
"""Outcome by its code."""
OPEN, BEATS, LOSES, TIES = range(4)
Nominal = Callable[[Any, Estimate], Any]
"""The level of a claim and its estimate to the level of its interval at this look."""


def one_look(level: Any, estimate: Estimate) -> Any:
    """The level of an interval that is looked at once: the level of its claim."""
    return level


@dataclass(frozen=True)
class Judgment:
    """Outcomes of the claims of a family; leading axes may be replications of a simulation.

    Attributes:
        codes: OPEN, BEATS, LOSES or TIES, [..., claims].
        levels: level of each claim over all looks, [..., claims].
        nominal: level of its interval at the look that decided it, or the last one, [..., claims].
    """

    codes: Array
    levels: Array
    nominal: Array

    @classmethod
    def before(cls, shape: tuple[int, ...]) -> Judgment:
        """The state before the first look."""
        return cls(np.zeros(shape, np.int8), np.full(shape, ALPHA), np.full(shape, ALPHA))


def judge(before: Judgment, estimate: Estimate, margin: float, nominal: Nominal = one_look) -> Judgment:
    """Judge the open claims of a family by the data of one look; decided claims stay as they are.

    Args:
        before: outcomes of the earlier looks.
        estimate: of each claim, fields [..., claims]; NaN or fewer than three seeds leave a claim open.
        margin: differences within ± margin count as a tie.
        nominal: level of a claim's interval at this look.
    """
    codes, levels, nominal_levels = before.codes.copy(), before.levels.copy(), before.nominal.copy()
    is_usable = np.isfinite(estimate.mean) & (np.asarray(estimate.seeds) >= MIN_SEEDS)
    while True:
        differ, tie = (_holm_levels(np.isin(codes, decided)) for decided in ((BEATS, LOSES), (TIES,)))
        differ_nominal, tie_nominal = (nominal(np.broadcast_to(x, codes.shape), estimate) for x in (differ, tie))
        still_open = codes == OPEN
        levels = np.where(still_open, differ, levels)
        nominal_levels = np.where(still_open, differ_nominal, nominal_levels)
        found = _codes(estimate, differ_nominal, tie_nominal, margin)
        new = still_open & is_usable & (found != OPEN)
        if not new.any():
            return Judgment(codes, levels, nominal_levels)
        codes = np.where(new, found, codes)
        levels = np.where(new & (found == TIES), tie, levels)
        nominal_levels = np.where(new & (found == TIES), tie_nominal, nominal_levels)


def _holm_levels(is_rejected: Array) -> Array:
    """The level of the remaining hypotheses of a family, [..., 1]."""
    remaining = is_rejected.shape[-1] - is_rejected.sum(axis=-1, keepdims=True)
    return ALPHA / np.maximum(remaining, 1)


def _codes(estimate: Estimate, differ: Array, tie: Array, margin: float) -> Array:
    """Outcome of each claim at these levels of its two intervals."""
    mean = np.asarray(estimate.mean)
    with np.errstate(invalid="ignore"):
        is_tie = np.abs(mean) + estimate.half_width(tie) < margin
        differs = np.abs(mean) > estimate.half_width(differ)
    return np.select([is_tie, differs & (mean > 0), differs], [TIES, BEATS, LOSES], OPEN).astype(np.int8)
