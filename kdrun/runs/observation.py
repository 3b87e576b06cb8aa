"""Report the evaluations of a run to its caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from kdrun import signals
from kdrun.methods.phases import Phase, num_steps, steps_by_role
from kdrun.storage.run_result import Scores

EvaluationObserver = Callable[[float, float | None], str | None]
"""Receives the trained share (0 to 1) and the headline score of an evaluation; returns the reason to stop, or None."""


def observe_evaluations(
    observer: EvaluationObserver | None,
    headline: Callable[[Scores], float | None],
    phases: Sequence[Phase],
    rows: int,
) -> Callable[[dict[str, Any]], None] | None:
    """A function that passes the records of evaluations to an observer; None without one.

    A stop takes effect after the evaluation, with a checkpoint. Phases without evaluations are not observed, so nothing
    stops in them. The last evaluation stops nothing, since the training has ended.

    Args:
        observer: of the run.
        headline: the score of an evaluation that chooses checkpoints.
        phases: of the training, in order.
        rows: number of training rows.
    """
    if observer is None:
        return None
    totals = [sum(steps_by_role(phase, num_steps(phase, rows)).values()) for phase in phases]
    starts = dict(zip([phase.name for phase in phases], accumulate(totals, initial=0), strict=False))

    def observe(record: dict[str, Any]) -> None:
        share = (starts[record["phase"]] + record["step"]) / sum(totals)
        reason = observer(share, headline(record["eval"]))
        if reason is not None and share < 1:
            signals.request_stop(signals.StopEarly(reason))

    return observe
