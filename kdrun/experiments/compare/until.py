"""Add seeds to a comparison until each claim is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdrun.console import Console
from kdrun.experiments.compare import costs, verdicts
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.claims import Claim
from kdrun.experiments.compare.replay import Look, replay
from kdrun.experiments.compare.scores import Scores
from kdrun.experiments.compare.sequential import Looks
from kdrun.experiments.compare.significance import Verdict
from kdrun.progress import track
from kdrun.reporting.tables import metric_format
from kdrun.reporting.tables.claims import OUTCOMES

if TYPE_CHECKING:
    from kdrun.experiments.compare.options import CompareOptions

Run = Callable[[Sequence[Arm], Sequence[int]], None]
"""Runs these arms with these seeds and sets their results; finished runs are reused."""


@dataclass(frozen=True)
class Plan:
    """A comparison whose seeds are added one by one.

    Attributes:
        arms: its arms, which receive the results.
        claims: its claims.
        margin: differences within ± margin count as a tie.
        looks: first and last look.
        in_jobs: whether runs are jobs, so that the first look is not divided to measure times.
    """

    arms: Sequence[Arm]
    claims: Sequence[Claim]
    margin: float
    looks: Looks
    in_jobs: bool = False

    @property
    def seeds(self) -> list[int]:
        """All seeds that may be used, in the order of the looks."""
        return list(range(1, self.looks.last + 1))


def make_looks(settings: CompareOptions) -> Looks:
    """The looks of a comparison with `until=decided`."""
    return Looks(settings.seeds, settings.max_seeds)


def run_until_decided(
    plan: Plan, run: Run, read_scores: Callable[[], Scores], console: Console, after_look: Callable[[], None]
) -> None:
    """Run all arms for the first look, then one seed per look of the arms that an open claim needs.

    Args:
        plan: the comparison.
        run: runs arms.
        read_scores: reads the scores of the ended runs.
        console: prints the cost and a line per claim and look.
        after_look: saves the verdicts so far, after each look that another one follows.
    """
    first, last = plan.seeds[: plan.looks.first], plan.looks.last
    is_measured = costs.print_cost(plan.arms, first, last, console)
    for part in [first] if is_measured or plan.in_jobs else [first[:1], first[1:]]:
        run(plan.arms, part)
        is_measured = is_measured or costs.print_cost(plan.arms, first, last, console)
    by_name, printed = {arm.name: arm for arm in plan.arms}, 0
    while True:
        with track("judging the claims"):
            scores = read_scores()
            state = replay(plan.claims, scores, plan.seeds, plan.margin, plan.looks)
        for look in state.looks[printed:]:
            _print_look(look, plan, scores, console)
        printed = len(state.looks)
        if not state.missing:
            return
        after_look()
        names = dict.fromkeys(name for name, _ in state.missing)
        run([by_name[name] for name in names], sorted({seed for _, seed in state.missing}))


def _print_look(look: Look, plan: Plan, scores: Scores, console: Console) -> None:
    for i, estimate in zip(look.claims, look.estimates, strict=True):
        claim, verdict = plan.claims[i], verdicts.verdict_on(estimate, look.judged, i)
        name = f"after {look.seeds} seeds, {claim.a} > {claim.b}"
        if isinstance(verdict, str):
            console.print(f"{name}: undecided ({verdict})")
        else:
            console.print(f"{name}: {_difference_text(verdict, scores)}: {OUTCOMES[verdict.outcome]}")


def _difference_text(verdict: Verdict, scores: Scores) -> str:
    """The difference a - b with its unit and interval."""
    values = [verdict.difference, *sorted(verdict.interval or (), key=lambda end: scores.sign * end)]
    difference, *ends = (metric_format.difference(scores.metric, scores.sign * value) for value in values)
    return f"{difference} {metric_format.difference_unit(scores.metric)} [{', '.join(ends)}]"
