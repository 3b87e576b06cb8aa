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
HalfWidth = Callable[[Any, Estimate], Any]
"""The level of a claim and its estimate to half the width of its interval at this look."""


def one_look(level: Any, estimate: Estimate) -> Any:
    """Half the width of an interval that is looked at once."""
    return estimate.half_width(level)


@dataclass(frozen=True)
class Judgment:
    """Outcomes of the claims of a family; leading axes may be replications of a simulation.

    Attributes:
        codes: OPEN, BEATS, LOSES or TIES, [..., claims].
        levels: level of each claim over all looks, [..., claims].
        half_widths: of its interval at the look that decided it, or the last one, [..., claims].
        tie_levels: level at which the claim is tested for TIES, as `levels`.
        tie_half_widths: of the interval that decides TIES, as `half_widths`.
    """

    codes: Array
    levels: Array
    half_widths: Array
    tie_levels: Array
    tie_half_widths: Array

    @classmethod
    def before(cls, shape: tuple[int, ...]) -> Judgment:
        """The state before the first look."""
        levels, half_widths = np.full(shape, ALPHA), np.full(shape, np.nan)
        return cls(np.zeros(shape, np.int8), levels, half_widths, levels.copy(), half_widths.copy())


def judge(
    before: Judgment,
    estimate: Estimate,
    margin: float,
    half_width: HalfWidth = one_look,
    min_seeds: int = MIN_SEEDS,
) -> Judgment:
    """Judge the open claims of a family by the data of one look; decided claims stay as they are.

    Args:
        before: outcomes of the earlier looks.
        estimate: of each claim, fields [..., claims]; NaN or too few seeds leave a claim open.
        margin: differences within ± margin count as a tie.
        half_width: half the width of a claim's interval at this look.
        min_seeds: seeds below which no claim is decided.
    """
    codes, levels, half_widths = before.codes, before.levels, before.half_widths
    tie_levels, tie_half_widths = before.tie_levels, before.tie_half_widths
    mean = np.asarray(estimate.mean)
    is_usable = np.isfinite(mean) & (np.asarray(estimate.seeds) >= min_seeds)
    while True:
        still_open = codes == OPEN
        differ_level, tie_level = (_holm_level(np.isin(codes, decided)) for decided in ((BEATS, LOSES), (TIES,)))
        differ, tie = (half_width(np.broadcast_to(x, codes.shape), estimate) for x in (differ_level, tie_level))
        with np.errstate(invalid="ignore"):
            ties, differs = np.abs(mean) + tie < margin, np.abs(mean) > differ
        found = np.select([ties, differs & (mean > 0), differs], [TIES, BEATS, LOSES], OPEN).astype(np.int8)
        new = still_open & is_usable & (found != OPEN)
        by_tie = new & ties
        levels = np.where(still_open, np.where(by_tie, tie_level, differ_level), levels)
        half_widths = np.where(still_open, np.where(by_tie, tie, differ), half_widths)
        tie_levels = np.where(still_open, tie_level, tie_levels)
        tie_half_widths = np.where(still_open, tie, tie_half_widths)
        if not new.any():
            return Judgment(codes, levels, half_widths, tie_levels, tie_half_widths)
        codes = np.where(new, found, codes)


def _holm_level(is_rejected: Array) -> Array:
    """The level of the remaining hypotheses of a family, [..., 1]."""
    remaining = is_rejected.shape[-1] - is_rejected.sum(axis=-1, keepdims=True)
    return ALPHA / np.maximum(remaining, 1)
