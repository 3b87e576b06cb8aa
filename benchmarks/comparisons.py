"""Simulate comparisons whose truth is known, judged by kdrun's decision code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdrun.experiments.compare import family
from kdrun.experiments.compare.family import BEATS, LOSES, OPEN, TIES, Judgment
from kdrun.experiments.compare.sequential import Looks
from kdrun.experiments.compare.significance import RESAMPLES, Array, Estimate

MARGIN = 0.01
FIRST, LAST = 3, 20
"""Seeds at the first and the last look."""
COLLAPSE = 0.1
"""Share of the runs that fail to learn, with the noise `collapse`."""


@dataclass(frozen=True)
class Setting:
    """A comparison whose truth is known.

    Attributes:
        means: true score of each arm.
        claims: pairs of arms.
        from_examples: σ_e of each pair: standard error of the difference by the sample of examples.
        from_seeds: σ_u of each pair: standard deviation of the difference over seeds.
        noise: distribution over seeds: normal, heavy (Student's t with 3 degrees of freedom), skewed (exponential) or
            collapse (normal, with a few runs far below). The last two apply to the first arm only, so that differences
            are skewed too.
    """

    means: tuple[float, ...]
    claims: tuple[tuple[int, int], ...] = ((0, 1),)
    from_examples: float = 0.006
    from_seeds: float = 0.006
    noise: str = "normal"


@dataclass(frozen=True)
class Rates:
    """Shares of the replications, and the mean number of seeds.

    Attributes:
        wrong: with one or more wrong BEATS or LOSES.
        wrong_ties: with one or more wrong TIES.
        right: claims with the right BEATS or LOSES.
        ties: claims with TIES.
        seeds: seeds per arm.
    """

    wrong: float
    wrong_ties: float
    right: float
    ties: float
    seeds: float


def simulate(setting: Setting, looks: Looks | None, replications: int, seeds: int = LAST, stream: int = 1) -> Rates:
    """Judge replications of a setting.

    Args:
        setting: the comparison.
        looks: first and last look; None for one look after `seeds` seeds.
        replications: number of replications.
        seeds: seeds per arm at most.
        stream: seed of the random numbers.
    """
    differences, from_examples = _draw(setting, replications, seeds, np.random.default_rng(stream))
    left, right = (np.array(side) for side in zip(*setting.claims, strict=True))
    truth = np.array(setting.means)[left] - np.array(setting.means)[right]
    judged = Judgment.before((replications, len(left)))
    runs = np.zeros((replications, len(setting.means)))
    half_width = family.one_look if looks is None else looks.half_width
    for count in range(seeds if looks is None else looks.first, seeds + 1):
        rows = np.flatnonzero((judged.codes == OPEN).any(axis=1))
        if not len(rows):
            break
        for claim, pair in enumerate(setting.claims):
            still_open = judged.codes[:, claim] == OPEN
            for arm in pair:
                runs[still_open, arm] = count
        part = differences[rows, :count]
        estimate = Estimate(
            part.mean(axis=1), from_examples[rows], part.var(axis=1, ddof=1), np.full((len(rows), len(left)), count)
        )
        before = Judgment(**{name: values[rows] for name, values in vars(judged).items()})
        after = family.judge(before, estimate, MARGIN, half_width)
        for name, values in vars(judged).items():
            values[rows] = getattr(after, name)
    codes = judged.codes
    wrong = ((codes == BEATS) & (truth <= 0)) | ((codes == LOSES) & (truth >= 0))
    wrong_ties = (codes == TIES) & (np.abs(truth) >= MARGIN)
    is_right = np.isin(codes, (BEATS, LOSES)) & ~wrong
    return Rates(
        float(wrong.any(axis=1).mean()),
        float(wrong_ties.any(axis=1).mean()),
        float(is_right.mean()),
        float((codes == TIES).mean()),
        float(runs.mean()),
    )


def _draw(setting: Setting, replications: int, seeds: int, stream: np.random.Generator) -> tuple[Array, Array]:
    """Differences of each pair by seed, [replications, seeds, claims], and estimated σ_e², [replications, claims].

    The variance over resamples of the examples has the noise of `RESAMPLES` resamples.
    """
    arms = len(setting.means)
    examples = stream.normal(size=(replications, 1, arms)) * setting.from_examples / np.sqrt(2)
    by_seed = _seed_noise(setting.noise, (replications, seeds, arms), stream) * setting.from_seeds / np.sqrt(2)
    scores = np.array(setting.means) + examples + by_seed
    left, right = (np.array(side) for side in zip(*setting.claims, strict=True))
    spread = stream.chisquare(RESAMPLES - 1, size=(replications, len(left))) / (RESAMPLES - 1)
    return scores[..., left] - scores[..., right], setting.from_examples**2 * spread


def _seed_noise(noise: str, shape: tuple[int, ...], stream: np.random.Generator) -> Array:
    """Noise over seeds with mean zero and variance one."""
    values = stream.standard_t(3, size=shape) / np.sqrt(3) if noise == "heavy" else stream.normal(size=shape)
    if noise == "skewed":
        values[..., 0] = stream.exponential(size=shape[:-1]) - 1
    if noise == "collapse":
        collapsed = (stream.random(shape[:-1]) < COLLAPSE) - COLLAPSE
        values[..., 0] = np.sqrt(0.5) * (values[..., 0] - collapsed / np.sqrt(COLLAPSE * (1 - COLLAPSE)))
    return values
